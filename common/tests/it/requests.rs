//! Remembered requests: one effect per id, its answer again, and a day's memory.

use std::time::Duration;

use common::db::Db;
use common::on_both_databases;
use common::requests::{Claim, RequestKey, answer, claim, forget_old};
use common::testing::TestDb;
use tokio::time::timeout;

use crate::world::create_tables;

on_both_databases!(
    the_same_request_is_answered_again_and_another_is_refused,
    a_request_whose_work_rolled_back_is_not_remembered,
    a_twin_waits_for_the_first_one_and_gets_its_answer,
    a_twin_of_a_request_that_failed_does_the_work,
    a_request_is_forgotten_after_a_day,
);

fn key(subject: &str, id: &str, request: &str) -> RequestKey {
    RequestKey::new(subject, "hold", id, request.as_bytes()).unwrap()
}

async fn ask(db: &Db, key: &RequestKey) -> Claim {
    let transaction = db.begin().await.unwrap();
    let claimed = claim(db, &transaction, key).await.unwrap();
    if claimed == Claim::New {
        answer(db, &transaction, key, b"the answer".to_vec()).await.unwrap();
    }
    transaction.commit().await.unwrap();
    claimed
}

async fn the_same_request_is_answered_again_and_another_is_refused(db: TestDb) {
    create_tables(&db).await;

    assert_eq!(ask(&db, &key("alice", "1", "two seats")).await, Claim::New);
    assert_eq!(ask(&db, &key("alice", "1", "two seats")).await, Claim::Answered(b"the answer".to_vec()));
    assert_eq!(ask(&db, &key("alice", "1", "four seats")).await, Claim::Different);
    assert_eq!(ask(&db, &key("bob", "1", "four seats")).await, Claim::New, "ids belong to their callers");
}

async fn a_request_whose_work_rolled_back_is_not_remembered(db: TestDb) {
    create_tables(&db).await;
    let transaction = db.begin().await.unwrap();

    assert_eq!(claim(&db, &transaction, &key("alice", "1", "x")).await.unwrap(), Claim::New);
    transaction.rollback().await.unwrap();

    assert_eq!(ask(&db, &key("alice", "1", "y")).await, Claim::New);
}

async fn a_twin_waits_for_the_first_one_and_gets_its_answer(db: TestDb) {
    create_tables(&db).await;
    let (again, key) = (db.connect_again().await, key("alice", "1", "x"));
    let first = db.begin().await.unwrap();
    assert_eq!(claim(&db, &first, &key).await.unwrap(), Claim::New);

    let mut twin = Box::pin(ask(&again, &key));
    assert!(timeout(Duration::from_millis(300), &mut twin).await.is_err(), "the twin waits");
    answer(&db, &first, &key, b"done".to_vec()).await.unwrap();
    first.commit().await.unwrap();

    assert_eq!(twin.await, Claim::Answered(b"done".to_vec()));
}

async fn a_twin_of_a_request_that_failed_does_the_work(db: TestDb) {
    create_tables(&db).await;
    let (again, key) = (db.connect_again().await, key("alice", "1", "x"));
    let first = db.begin().await.unwrap();
    assert_eq!(claim(&db, &first, &key).await.unwrap(), Claim::New);

    let mut twin = Box::pin(ask(&again, &key));
    assert!(timeout(Duration::from_millis(300), &mut twin).await.is_err(), "the twin waits");
    first.rollback().await.unwrap();

    assert_eq!(twin.await, Claim::New);
}

async fn a_request_is_forgotten_after_a_day(db: TestDb) {
    create_tables(&db).await;
    ask(&db, &key("alice", "1", "x")).await;

    db.shift_time(chrono::Duration::hours(23));
    assert_eq!(forget_old(&db).await.unwrap(), 0);
    assert_eq!(ask(&db, &key("alice", "1", "x")).await, Claim::Answered(b"the answer".to_vec()));
    db.shift_time(chrono::Duration::hours(2));
    assert_eq!(forget_old(&db).await.unwrap(), 1);

    assert_eq!(ask(&db, &key("alice", "1", "another")).await, Claim::New);
}

#[test]
fn a_request_id_is_one_to_255_printable_characters() {
    assert!(RequestKey::new("alice", "hold", "", b"").is_err());
    assert!(RequestKey::new("alice", "hold", "line\nbreak", b"").is_err());
    assert!(RequestKey::new("alice", "hold", &"é".repeat(255), b"").is_ok());
    assert!(RequestKey::new("alice", "hold", &"x".repeat(256), b"").is_err());
}
