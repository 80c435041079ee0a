//! Leases: one owner at a time by the database's clock, a late owner's writes touch nothing, and owners share evenly.

use std::time::Duration;

use common::db::Db;
use common::lease::{Leases, held_sql};
use common::on_both_databases;
use common::runtime::Shutdown;
use common::testing::TestDb;
use futures_util::future::join_all;

use crate::world::create_tables;

on_both_databases!(
    a_lease_has_one_owner_at_a_time,
    a_lease_that_ran_out_goes_to_another_under_a_new_epoch,
    a_renewed_lease_does_not_run_out,
    the_same_owner_retakes_its_leases_after_a_restart,
    shutdown_gives_leases_back,
    a_race_for_many_leases_has_one_winner_each,
);

const LEASE: Duration = Duration::from_secs(10);
/// Rounds of a race after which every lease must have had its owner.
const RACES_MAX: usize = 30;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("work:{n}")).collect()
}

fn epoch(leases: &Leases, name: &str) -> Option<i64> {
    leases.get(name).map(|lease| lease.epoch())
}

fn leases(db: &Db, owner: &str) -> Leases {
    Leases::new(db.clone(), owner.into(), LEASE, names(3))
}

/// A write that a holder of `work:0` under `epoch` makes: touches a row only while that is true.
async fn guarded_write(db: &Db, epoch: i64) -> u64 {
    let sql = format!("UPDATE requests SET fingerprint = 'written' WHERE {}", held_sql("$1", "$2"));
    db.execute(db.writer(), sql, ["work:0".into(), epoch.into()]).await.unwrap()
}

async fn a_row_to_write(db: &Db) {
    let sql = "INSERT INTO requests (scope, request_id, fingerprint, created_at) VALUES ('s', 'r', 'f', 0)";
    db.execute(db.writer(), sql, []).await.unwrap();
}

async fn a_lease_has_one_owner_at_a_time(db: TestDb) {
    create_tables(&db).await;
    let (first, second) = (leases(&db, "first"), leases(&db, "second"));

    first.round().await.unwrap();
    second.round().await.unwrap();

    assert_eq!(names(3).iter().map(|n| epoch(&first, n)).collect::<Vec<_>>(), [Some(1); 3]);
    assert_eq!(names(3).iter().map(|n| epoch(&second, n)).collect::<Vec<_>>(), [None; 3]);
}

async fn a_lease_that_ran_out_goes_to_another_under_a_new_epoch(db: TestDb) {
    create_tables(&db).await;
    a_row_to_write(&db).await;
    let later = db.connect_again().await;
    let (first, second) = (leases(&db, "first"), leases(&later, "second"));
    first.round().await.unwrap();
    assert_eq!(guarded_write(&db, 1).await, 1);

    later.shift_time(chrono::Duration::seconds(11));
    second.round().await.unwrap();

    assert_eq!(epoch(&second, "work:0"), Some(2));
    assert_eq!(epoch(&first, "work:0"), Some(1), "the paused owner still believes in it");
    assert_eq!(guarded_write(&db, 1).await, 0, "but its writes touch nothing");
    assert_eq!(guarded_write(&later, 2).await, 1);
    first.round().await.unwrap();
    assert_eq!(epoch(&first, "work:0"), None);
}

async fn a_renewed_lease_does_not_run_out(db: TestDb) {
    create_tables(&db).await;
    let later = db.connect_again().await;
    let (first, second) = (leases(&db, "first"), leases(&later, "second"));
    first.round().await.unwrap();

    db.shift_time(chrono::Duration::seconds(8));
    first.round().await.unwrap();
    later.shift_time(chrono::Duration::seconds(16));
    second.round().await.unwrap();

    assert_eq!((epoch(&first, "work:2"), epoch(&second, "work:2")), (Some(1), None));
}

async fn the_same_owner_retakes_its_leases_after_a_restart(db: TestDb) {
    create_tables(&db).await;
    leases(&db, "only").round().await.unwrap();

    let restarted = leases(&db, "only");
    restarted.round().await.unwrap();

    assert_eq!(epoch(&restarted, "work:1"), Some(2), "under a new epoch, so that writes of the old run touch nothing");
}

async fn shutdown_gives_leases_back(db: TestDb) {
    create_tables(&db).await;
    let (first, second) = (leases(&db, "first"), leases(&db, "second"));
    let shutdown = Shutdown::new();
    first.round().await.unwrap();

    shutdown.cancel();
    first.keep(shutdown).await.unwrap();
    second.round().await.unwrap();

    assert_eq!(epoch(&first, "work:0"), None);
    assert_eq!(epoch(&second, "work:0"), Some(2));
}

async fn a_race_for_many_leases_has_one_winner_each(db: TestDb) {
    create_tables(&db).await;
    let other = db.connect_again().await;
    let racers: Vec<Leases> = (0..6)
        .map(|n| {
            Leases::new(if n % 2 == 0 { db.clone() } else { other.clone() }, format!("racer {n}"), LEASE, names(36))
        })
        .collect();

    let holders = |name: &String| racers.iter().filter(|racer| epoch(racer, name).is_some()).count();
    // Rounds at the same time see each other half done, so it may take some until all shares are even.
    for _ in 0..RACES_MAX {
        for round in join_all(racers.iter().map(Leases::round)).await {
            round.unwrap();
        }
        assert!(names(36).iter().all(|name| holders(name) <= 1), "a lease has two owners");
        if names(36).iter().all(|name| holders(name) == 1) {
            return;
        }
    }
    panic!("some leases still have no owner after {RACES_MAX} rounds");
}
