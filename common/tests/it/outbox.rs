//! The outbox itself: what is written, listed, counted and deleted. Publishing is in `flow`.

use std::time::Duration;

use common::db::Db;
use common::fact::{Fact, NewFact};
use common::ids::FactId;
use common::on_both_databases;
use common::outbox::{Listing, Outbox};
use common::telemetry::Carrier;
use common::testing::TestDb;
use uuid::Uuid;

use crate::world::{KIND, TOPIC, create_tables, fact};

on_both_databases!(
    facts_of_an_aggregate_are_listed_in_order_page_by_page,
    all_facts_are_listed_by_position_page_by_page,
    a_page_stays_far_below_the_message_limit,
    a_fact_lives_and_dies_with_its_transaction,
    a_fact_of_64_kib_is_told_and_one_above_is_refused,
    more_facts_than_one_statement_takes_are_written,
    only_facts_published_a_week_ago_are_deleted,
    heads_are_how_far_published_facts_went,
    heads_of_many_facts_come_page_by_page,
);

async fn outbox(db: &TestDb) -> Outbox {
    create_tables(db).await;
    Outbox::new(Db::clone(db), "tester", TOPIC)
}

async fn append(db: &TestDb, outbox: &Outbox, facts: &[NewFact]) {
    let transaction = db.begin().await.unwrap();
    outbox.append(&transaction, facts).await.unwrap();
    transaction.commit().await.unwrap();
}

fn sequences(page: &common::outbox::Listed) -> Vec<i64> {
    page.records.iter().map(|r| Fact::decode(&r.value, Carrier::new()).unwrap().sequence).collect()
}

async fn facts_of_an_aggregate_are_listed_in_order_page_by_page(db: TestDb) {
    let outbox = outbox(&db).await;
    let (wanted, other) = (Uuid::now_v7(), Uuid::now_v7());
    for sequence in 1..=5 {
        append(&db, &outbox, &[fact(other, sequence, "x"), fact(wanted, sequence, "x")]).await;
    }

    let page = outbox.list(Listing::Aggregate(wanted, 1), 3).await.unwrap();
    let rest = outbox.list(Listing::Aggregate(wanted, 4), 3).await.unwrap();

    assert_eq!((sequences(&page), page.has_more), (vec![2, 3, 4], true));
    assert_eq!((sequences(&rest), rest.has_more), (vec![5], false));
    let headers = &rest.records[0].headers;
    let header = |name: &str| headers.iter().find(|h| h.name == name).map(|h| h.value.clone()).unwrap();
    assert_eq!((header("ce_type"), header("ce_subject")), (KIND.to_owned(), wanted.to_string()));
    assert_eq!((header("ce_source"), header("ce_specversion")), ("/eventix/tester".to_owned(), "1.0".to_owned()));
}

async fn all_facts_are_listed_by_position_page_by_page(db: TestDb) {
    let outbox = outbox(&db).await;
    for _ in 0..5 {
        append(&db, &outbox, &[fact(Uuid::now_v7(), 1, "x")]).await;
    }

    let mut seen = 0;
    let mut position = 0;
    loop {
        let page = outbox.list(Listing::From(position), 2).await.unwrap();
        seen += page.records.len();
        position = page.last_position;
        if !page.has_more {
            break;
        }
    }

    assert_eq!(seen, 5);
    assert!(outbox.list(Listing::From(position), 2).await.unwrap().records.is_empty());
}

async fn a_page_stays_far_below_the_message_limit(db: TestDb) {
    let outbox = outbox(&db).await;
    let aggregate = Uuid::now_v7();
    let facts: Vec<NewFact> = (1..=12).map(|sequence| fact(aggregate, sequence, &"x".repeat(60_000))).collect();
    append(&db, &outbox, &facts).await;

    let page = outbox.list(Listing::Aggregate(aggregate, 0), 100).await.unwrap();

    assert!(page.has_more);
    assert!((1..12).contains(&page.records.len()), "{}", page.records.len());
}

async fn a_fact_lives_and_dies_with_its_transaction(db: TestDb) {
    let outbox = outbox(&db).await;
    let aggregate = Uuid::now_v7();

    let transaction = db.begin().await.unwrap();
    outbox.append(&transaction, &[fact(aggregate, 1, "x")]).await.unwrap();
    transaction.rollback().await.unwrap();

    assert!(outbox.list(Listing::Aggregate(aggregate, 0), 10).await.unwrap().records.is_empty());
}

async fn a_fact_of_64_kib_is_told_and_one_above_is_refused(db: TestDb) {
    let outbox = outbox(&db).await;
    let transaction = db.begin().await.unwrap();

    let aggregate = Uuid::now_v7();
    let sized = |bytes: usize| fact(aggregate, 1, &"x".repeat(bytes));
    let envelope = sized(60_000).envelope(FactId::new(), db.now(&transaction).await.unwrap()).len() - 60_000;
    let fits = 64 * 1024 - envelope;

    outbox.append(&transaction, &[sized(fits)]).await.unwrap();
    let refused = outbox.append(&transaction, &[sized(fits + 1)]).await.unwrap_err().to_string();

    let told = format!("fact {KIND} of {aggregate} has 65537 bytes, at most 65536 may be told");
    assert!(refused.contains(&told), "{refused}");
}

async fn more_facts_than_one_statement_takes_are_written(db: TestDb) {
    let outbox = outbox(&db).await;
    let facts: Vec<NewFact> = (0..10_000).map(|_| fact(Uuid::now_v7(), 1, "x")).collect();

    append(&db, &outbox, &facts).await;

    assert_eq!(outbox.backlog().await.unwrap().0, 10_000);
}

async fn only_facts_published_a_week_ago_are_deleted(db: TestDb) {
    let outbox = outbox(&db).await;
    let (published, waiting) = (Uuid::now_v7(), Uuid::now_v7());
    append(&db, &outbox, &[fact(published, 1, "x"), fact(waiting, 1, "x")]).await;
    let sql = format!("UPDATE outbox SET published_at = {} WHERE aggregate_id = $1", db.now_sql());
    db.execute(db.writer(), sql, [published.into()]).await.unwrap();

    db.shift_time(chrono::Duration::hours(7 * 24 - 1));
    assert_eq!(outbox.clean().await.unwrap(), 0);
    db.shift_time(chrono::Duration::hours(2));
    assert_eq!(outbox.clean().await.unwrap(), 1);

    let (count, age_seconds) = outbox.backlog().await.unwrap();
    assert_eq!(count, 1);
    assert!(age_seconds > 7.0 * 24.0 * 3600.0, "{age_seconds}");
}

async fn publish_all(db: &TestDb) {
    let sql = format!("UPDATE outbox SET published_at = {} WHERE published_at IS NULL", db.now_sql());
    db.execute(db.writer(), sql, []).await.unwrap();
}

async fn heads_are_how_far_published_facts_went(db: TestDb) {
    let outbox = outbox(&db).await;
    let (first, second) = (Uuid::now_v7(), Uuid::now_v7());
    append(&db, &outbox, &[fact(first, 1, "x"), fact(first, 2, "x"), fact(second, 1, "x")]).await;
    publish_all(&db).await;
    append(&db, &outbox, &[fact(second, 2, "x")]).await;

    let page = outbox.heads(None, Duration::ZERO).await.unwrap();
    let young = outbox.heads(None, Duration::from_secs(60)).await.unwrap();
    publish_all(&db).await;
    let news = outbox.heads(Some(page.next), Duration::ZERO).await.unwrap();

    assert_eq!((page.heads, page.has_more), (vec![(first, 2), (second, 1)], false));
    assert!(young.heads.is_empty(), "what may still be under way is left out");
    assert_eq!(news.heads, [(second, 2)]);
}

async fn heads_of_many_facts_come_page_by_page(db: TestDb) {
    let outbox = outbox(&db).await;
    let facts: Vec<NewFact> = (0..2_500).map(|_| fact(Uuid::now_v7(), 1, "x")).collect();
    append(&db, &outbox, &facts).await;
    publish_all(&db).await;

    let page = outbox.heads(None, Duration::ZERO).await.unwrap();
    let rest = outbox.heads(Some(page.next), Duration::ZERO).await.unwrap();

    assert_eq!((page.heads.len(), page.has_more, rest.heads.len(), rest.has_more), (2_000, true, 500, false));
}
