//! Owners share leases: evenly, kind by kind, without letting work fall, and anew whenever one comes or goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::db::Db;
use common::lease::{Lease, Leases};
use common::on_both_databases;
use common::runtime::Shutdown;
use common::testing::TestDb;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::world::{create_tables, eventually};

on_both_databases!(
    a_lone_owner_has_everything,
    owners_share_every_kind_evenly,
    an_even_share_stays_where_it_is,
    owners_that_come_and_go_leave_even_shares_and_no_lease_with_two,
    work_in_hand_is_finished_before_its_lease_changes_hands,
    work_that_does_not_let_go_is_not_waited_for_for_ever,
    a_second_owner_gets_its_half_soon,
    an_owner_that_stops_is_followed_at_once,
    an_owner_that_vanished_is_followed_when_its_leases_end,
);

const KINDS: [&str; 3] = ["relay", "consumer:a", "consumer:b"];
const PER_KIND: usize = 12;
const LEASE: Duration = Duration::from_secs(10);
/// Short, where a test waits for its end.
const SHORT: Duration = Duration::from_secs(2);
/// Rounds of every owner after which shares are even: announce, give back, take.
const ROUNDS: usize = 3;

fn names() -> Vec<String> {
    KINDS.iter().flat_map(|kind| (0..PER_KIND).map(move |n| format!("{kind}:{n}"))).collect()
}

fn owner(db: &Db, name: &str) -> Leases {
    Leases::new(db.clone(), name.into(), LEASE, names())
}

async fn rounds(owners: &[&Leases]) {
    for _ in 0..ROUNDS {
        for round in join_all(owners.iter().map(|owner| owner.round())).await {
            round.unwrap();
        }
    }
}

/// What the rows say: how many leases of each kind an owner has.
async fn shares(db: &Db) -> BTreeMap<String, Vec<i64>> {
    let sql = format!("SELECT owner, name FROM leases WHERE expires_at > {}", db.now_sql());
    let mut shares: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in db.query(db.reader(), sql, []).await.unwrap() {
        let (owner, name): (String, String) = (row.try_get("", "owner").unwrap(), row.try_get("", "name").unwrap());
        let kind = KINDS.iter().position(|kind| name.rsplit_once(':').unwrap().0 == *kind).unwrap();
        shares.entry(owner).or_insert_with(|| vec![0; KINDS.len()])[kind] += 1;
    }
    shares
}

/// Waits until the rows say so, and returns how long that took.
async fn until_shares(db: &Db, expected: &[(&str, i64)]) -> Duration {
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(owner, count)| (owner.to_string(), vec![*count; KINDS.len()])).collect();
    let asked_at = Instant::now();
    eventually(&format!("{expected:?}"), async || (shares(db).await == expected).then_some(())).await;
    asked_at.elapsed()
}

fn epochs(leases: &Leases) -> Vec<Option<i64>> {
    names().iter().map(|name| leases.get(name).map(|lease| lease.epoch())).collect()
}

/// Owners that keep their leases, as processes do.
#[derive(Default)]
struct Keepers(JoinSet<anyhow::Result<()>>);

impl Keepers {
    fn start(&mut self, db: &Db, name: &str, duration: Duration) -> Shutdown {
        let (leases, shutdown) = (Leases::new(db.clone(), name.into(), duration, names()), Shutdown::new());
        let stop = shutdown.clone();
        self.0.spawn(async move { leases.keep(stop).await });
        shutdown
    }
}

async fn a_lone_owner_has_everything(db: TestDb) {
    create_tables(&db).await;

    owner(&db, "only").round().await.unwrap();

    assert_eq!(shares(&db).await, BTreeMap::from([("only".into(), vec![12, 12, 12])]));
}

async fn owners_share_every_kind_evenly(db: TestDb) {
    create_tables(&db).await;
    let (a, b, c) = (owner(&db, "a"), owner(&db, "b"), owner(&db, "c"));

    rounds(&[&a]).await;
    rounds(&[&a, &b]).await;
    until_shares(&db, &[("a", 6), ("b", 6)]).await;
    rounds(&[&a, &b, &c]).await;
    until_shares(&db, &[("a", 4), ("b", 4), ("c", 4)]).await;
    let (d, e) = (owner(&db, "d"), owner(&db, "e"));
    rounds(&[&a, &b, &c, &d, &e]).await;

    let shares = shares(&db).await;
    let total = |kind: usize| shares.values().map(|counts| counts[kind]).sum::<i64>();
    assert_eq!([total(0), total(1), total(2)], [12; 3]);
    assert!(shares.len() == 5 && shares.values().flatten().all(|count| (2..=3).contains(count)), "{shares:?}");
}

async fn an_even_share_stays_where_it_is(db: TestDb) {
    create_tables(&db).await;
    let (a, b, c) = (owner(&db, "a"), owner(&db, "b"), owner(&db, "c"));
    rounds(&[&a, &b, &c]).await;
    rounds(&[&a, &b, &c]).await;
    let before = [epochs(&a), epochs(&b), epochs(&c)];

    rounds(&[&a, &b, &c]).await;

    assert_eq!([epochs(&a), epochs(&b), epochs(&c)], before);
}

async fn owners_that_come_and_go_leave_even_shares_and_no_lease_with_two(db: TestDb) {
    create_tables(&db).await;
    let mut owners: Vec<Leases> = Vec::new();
    for n in 0..4 {
        owners.push(owner(&db, &format!("owner {n}")));
        rounds(&owners.iter().collect::<Vec<_>>()).await;
        assert_one_owner_each(&owners);
    }
    while owners.len() > 1 {
        let stop = Shutdown::new();
        stop.cancel();
        owners.remove(owners.len() / 2).keep(stop).await.unwrap();
        rounds(&owners.iter().collect::<Vec<_>>()).await;
        assert_one_owner_each(&owners);
    }

    assert_eq!(shares(&db).await.into_values().collect::<Vec<_>>(), [[12, 12, 12]]);
}

fn assert_one_owner_each(owners: &[Leases]) {
    for name in names() {
        assert_eq!(owners.iter().filter(|owner| owner.get(&name).is_some()).count(), 1, "{name}");
    }
}

async fn work_in_hand_is_finished_before_its_lease_changes_hands(db: TestDb) {
    create_tables(&db).await;
    let (first, second) = (owner(&db, "first"), owner(&db, "second"));
    rounds(&[&first]).await;
    let work: Vec<Lease> = names().iter().map(|name| first.get(name).unwrap()).collect();

    rounds(&[&second, &first, &second]).await;

    let asked_back = work.iter().filter(|lease| lease.has_ended()).count();
    assert_eq!(asked_back, names().len() / 2, "half of it is asked back");
    assert!(epochs(&second).iter().all(Option::is_none), "but nothing is given away under anybody's hands");
    drop(work);
    rounds(&[&first, &second]).await;
    until_shares(&db, &[("first", 6), ("second", 6)]).await;
    assert!(epochs(&second).iter().flatten().all(|epoch| *epoch == 2), "a new owner has a new epoch");
}

async fn work_that_does_not_let_go_is_not_waited_for_for_ever(db: TestDb) {
    create_tables(&db).await;
    let mut keepers = Keepers::default();
    let (first, second) = (Arc::new(owner(&db, "first")), owner(&db, "second"));
    let stop = Shutdown::new();
    rounds(&[&first]).await;
    let stuck = first.get("relay:0").unwrap();

    let (leaving, stopping) = (first.clone(), stop.clone());
    keepers.0.spawn(async move { leaving.keep(stopping).await });
    stop.cancel();

    let asked_at = Instant::now();
    keepers.0.join_next().await.unwrap().unwrap().unwrap();
    assert!(asked_at.elapsed() < Duration::from_secs(5), "took {:?}", asked_at.elapsed());
    second.round().await.unwrap();
    assert_eq!(second.get(stuck.name()).map(|lease| lease.epoch()), Some(stuck.epoch() + 1));
}

async fn a_second_owner_gets_its_half_soon(db: TestDb) {
    create_tables(&db).await;
    let (other, mut keepers) = (db.connect_again().await, Keepers::default());
    keepers.start(&db, "first", LEASE);
    until_shares(&db, &[("first", 12)]).await;

    keepers.start(&other, "second", LEASE);

    let took = until_shares(&db, &[("first", 6), ("second", 6)]).await;
    assert!(took < Duration::from_secs(10), "took {took:?}");
}

async fn an_owner_that_stops_is_followed_at_once(db: TestDb) {
    create_tables(&db).await;
    let (other, mut keepers) = (db.connect_again().await, Keepers::default());
    let first = keepers.start(&db, "first", LEASE);
    keepers.start(&other, "second", LEASE);
    until_shares(&db, &[("first", 6), ("second", 6)]).await;

    first.cancel();

    let took = until_shares(&db, &[("second", 12)]).await;
    assert!(took < Duration::from_secs(5), "took {took:?}");
}

async fn an_owner_that_vanished_is_followed_when_its_leases_end(db: TestDb) {
    create_tables(&db).await;
    let (other, mut keepers, mut vanishing) = (db.connect_again().await, Keepers::default(), Keepers::default());
    vanishing.start(&db, "first", SHORT);
    keepers.start(&other, "second", SHORT);
    until_shares(&db, &[("first", 6), ("second", 6)]).await;

    vanishing.0.shutdown().await;

    let took = until_shares(&db, &[("second", 12)]).await;
    assert!(took < SHORT + Duration::from_secs(3), "took {took:?}");
}
