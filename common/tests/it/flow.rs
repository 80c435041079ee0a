//! Facts from the outbox over the log into the inbox: in order, each with one effect, however often it is told.

use std::sync::atomic::Ordering;

use common::fact::NewFact;
use common::on_both_databases;
use common::outbox::{Listing, partition_of};
use common::testing::TestDb;
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{DELICATE, World, aggregate_in, eventually, fact, outgoing};

on_both_databases!(
    facts_take_effect_once_and_in_order,
    a_fact_told_once_more_stands_on_the_log_twice_and_takes_effect_once,
    a_relay_that_died_before_marking_repeats_itself_without_effect,
    a_record_thrice_on_the_log_takes_effect_once,
    a_backlog_larger_than_a_broker_takes_at_once_is_published,
    a_restart_goes_on_where_it_stopped,
    another_owner_of_the_lease_stops_the_reader_and_its_end_starts_it_again,
    a_handler_that_fails_for_now_is_tried_again,
);

async fn facts_take_effect_once_and_in_order(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let aggregates: Vec<Uuid> = (0..6).map(|_| Uuid::now_v7()).collect();

    for sequence in [1, 3, 5] {
        for aggregate in &aggregates {
            world.tell(&[fact(*aggregate, sequence, "x"), fact(*aggregate, sequence + 1, "x")]).await;
        }
    }

    for aggregate in &aggregates {
        world.until_effects(*aggregate, &[1, 2, 3, 4, 5, 6]).await;
    }
    world.read_to_end().await;
    assert_eq!(world.count("inbox").await, 36);
    assert_eq!(world.effects.calls.load(Ordering::SeqCst), 36);
    let record = &world.log(partition_of(aggregates[0])).await[0];
    assert_eq!(record.headers["content-type"], "application/protobuf");
    assert_eq!(record.key.as_deref(), Some(record.headers["ce_subject"].as_bytes()));
    world.halt().await;
}

async fn a_fact_told_once_more_stands_on_the_log_twice_and_takes_effect_once(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, "x"), fact(aggregate, 2, "x")]).await;
    world.until_effects(aggregate, &[1, 2]).await;
    world.read_to_end().await;

    // As after eight days: then only the watermark knows.
    world.execute("DELETE FROM inbox", vec![]).await;
    world.outbox.tell_last_again(world.db.writer(), aggregate).await.unwrap();
    world.outbox.wake();
    world.read_to_end().await;

    let log = world.log(partition_of(aggregate)).await;
    assert_eq!(log.len(), 3);
    assert_eq!(log[2].value, log[1].value, "the same fact under the same id");
    assert_eq!(world.effects_of(aggregate).await, [1, 2]);
    world.halt().await;
}

async fn a_relay_that_died_before_marking_repeats_itself_without_effect(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, "x"), fact(aggregate, 2, "x")]).await;
    let told = world.outbox.list(Listing::Aggregate(aggregate, 0), 10).await.unwrap();
    let records: Vec<_> = told.records.iter().map(outgoing).collect();
    world.produce(partition_of(aggregate), &records).await;

    world.run();
    world.read_to_end().await;

    assert_eq!(world.log(partition_of(aggregate)).await.len(), 4);
    world.until_effects(aggregate, &[1, 2]).await;
    assert_eq!(world.effects.calls.load(Ordering::SeqCst), 2);
    world.halt().await;
}

async fn a_record_thrice_on_the_log_takes_effect_once(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = aggregate_in(4);
    let told = world.tell_silently(&[fact(aggregate, 1, "x"), fact(aggregate, 2, "x")]).await;

    world.produce(4, &[told[0].clone(), told[0].clone(), told[1].clone(), told[0].clone(), told[1].clone()]).await;
    world.run();
    world.read_to_end().await;

    assert_eq!(world.effects_of(aggregate).await, [1, 2]);
    assert_eq!(world.offset(4).await.unwrap().next, 5);
    assert_eq!(world.count("parked").await + world.count("dead_letters").await, 0);
    world.halt().await;
}

async fn a_backlog_larger_than_a_broker_takes_at_once_is_published(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = Uuid::now_v7();
    let facts: Vec<NewFact> = (1..=40).map(|sequence| fact(aggregate, sequence, &"x".repeat(60_000))).collect();
    world.tell(&facts).await;

    world.run();

    world.until_effects(aggregate, &(1..=40).collect::<Vec<_>>()).await;
    world.halt().await;
}

async fn a_restart_goes_on_where_it_stopped(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, "x")]).await;
    world.until_effects(aggregate, &[1]).await;
    world.halt().await;

    world.tell(&[fact(aggregate, 2, "x")]).await;
    world.run();

    world.until_effects(aggregate, &[1, 2]).await;
    world.read_to_end().await;
    assert_eq!(world.log(partition_of(aggregate)).await.len(), 2);
    assert_eq!(world.offset(partition_of(aggregate)).await.unwrap().incarnation, 1);
    world.halt().await;
}

async fn another_owner_of_the_lease_stops_the_reader_and_its_end_starts_it_again(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let (mine, lost) = (aggregate_in(2), aggregate_in(3));
    let told = world.tell_silently(&[fact(mine, 1, "x"), fact(lost, 1, "x")]).await;
    eventually("both partitions are read", async || world.offset(3).await.and(world.offset(2).await)).await;

    let theft = "UPDATE leases SET owner = 'another', epoch = epoch + 1, expires_at = 9000000000000000
        WHERE name = 'consumer:eventix.test.v1:3'";
    assert_eq!(world.execute(theft, vec![]).await, 1);
    world.produce(3, &told[1..]).await;
    world.produce(2, &told[..1]).await;
    world.until_effects(mine, &[1]).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(world.effects_of(lost).await.is_empty());
    assert_eq!(world.offset(3).await.unwrap().next, 0);

    world.execute("UPDATE leases SET expires_at = 0 WHERE owner = 'another'", vec![]).await;
    world.until_effects(lost, &[1]).await;
    world.halt().await;
}

async fn a_handler_that_fails_for_now_is_tried_again(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.effects.sick.store(true, Ordering::SeqCst);
    world.run();
    let aggregate = Uuid::now_v7();

    world.tell(&[fact(aggregate, 1, DELICATE), fact(aggregate, 2, "x")]).await;
    eventually("three tries", async || (world.effects.calls.load(Ordering::SeqCst) >= 3).then_some(())).await;
    assert!(world.effects_of(aggregate).await.is_empty(), "what a failing handler wrote is gone");
    assert_eq!(world.count("inbox").await, 0);
    world.effects.sick.store(false, Ordering::SeqCst);

    world.until_effects(aggregate, &[1, 2]).await;
    assert_eq!(world.count("dead_letters").await, 0);
    world.halt().await;
}

/// On SQLite one transaction writes at a time, so the early position is given by hand.
#[tokio::test]
async fn a_fact_with_a_lower_position_committed_later_still_goes_out() {
    let broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let (early, late) = (Uuid::now_v7(), Uuid::now_v7());
    world.execute("UPDATE sqlite_sequence SET seq = 100 WHERE name = 'outbox'", vec![]).await;
    world.tell(&[fact(late, 1, "x")]).await;
    world.until_effects(late, &[1]).await;

    let transaction = world.db.begin().await.unwrap();
    world.outbox.append(&transaction, &[fact(early, 1, "x")]).await.unwrap();
    let sql = "UPDATE outbox SET position = -1 WHERE aggregate_id = $1";
    world.db.execute(&transaction, sql, [early.into()]).await.unwrap();
    transaction.commit().await.unwrap();

    world.until_effects(early, &[1]).await;
    world.halt().await;
}

#[tokio::test]
async fn a_slow_transaction_with_an_early_position_still_goes_out_on_postgres() {
    let broker = Broker::start().await;
    let mut world = World::new(TestDb::postgres().await, broker.addr).await;
    world.run();
    let (slow, quick) = (Uuid::now_v7(), Uuid::now_v7());

    let slow_one = world.db.begin().await.unwrap();
    world.outbox.append(&slow_one, &[fact(slow, 1, "x")]).await.unwrap();
    world.tell(&[fact(quick, 1, "x")]).await;
    world.until_effects(quick, &[1]).await;
    world.read_to_end().await;
    slow_one.commit().await.unwrap();

    world.until_effects(slow, &[1]).await;
    world.halt().await;
}
