//! The schema: brought up to date once, however many processes start at once.

use common::on_both_databases;
use common::testing::TestDb;
use futures_util::future::join_all;

on_both_databases!(processes_that_migrate_at_once_all_succeed, a_migrated_database_is_left_alone);

async fn processes_that_migrate_at_once_all_succeed(db: TestDb) {
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(db.connect_again().await);
    }

    let applied: Vec<usize> =
        join_all(others.iter().map(booking::migrate)).await.into_iter().map(|a| a.unwrap().len()).collect();

    assert_eq!(applied.iter().filter(|count| **count > 0).count(), 1, "{applied:?}");
}

async fn a_migrated_database_is_left_alone(db: TestDb) {
    booking::migrate(&db).await.unwrap();

    assert!(booking::migrate(&db).await.unwrap().is_empty());
}
