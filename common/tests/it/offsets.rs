//! Where a reader goes on: never behind the records it has not seen, whatever happened to the log or to its own database.

use std::sync::atomic::Ordering;

use common::on_both_databases;
use common::testing::TestDb;
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{World, aggregate_in, eventually, fact};

on_both_databases!(
    the_first_reader_of_a_log_begins_at_its_beginning,
    a_position_whose_record_before_it_was_never_seen_is_not_believed,
    a_position_set_back_under_a_running_reader_is_gone_on_from,
    while_its_producer_is_down_a_new_log_is_read_and_the_rest_asked_for_later,
);

async fn the_first_reader_of_a_log_begins_at_its_beginning(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let old = [aggregate_in(4), aggregate_in(4), aggregate_in(4)];
    let told = world.tell_silently(&old.map(|id| fact(id, 1, "x"))).await;
    world.produce(4, &told).await;
    world.source.down.store(true, Ordering::SeqCst);

    world.run();

    for aggregate in old {
        world.until_effects(aggregate, &[1]).await;
    }
    assert_eq!(world.offset(4).await.unwrap().incarnation, 1);
    world.halt().await;
}

/// As after two new logs in a row, of which the first began later than the second.
async fn a_position_whose_record_before_it_was_never_seen_is_not_believed(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregates = [aggregate_in(4), aggregate_in(4), aggregate_in(4)];
    let told = world.tell_silently(&aggregates.map(|id| fact(id, 1, "x"))).await;
    world.produce(4, &told).await;
    world.source.down.store(true, Ordering::SeqCst);
    let unseen = "INSERT INTO consumer_offsets (consumer, topic, log_partition, next_offset, incarnation, recovering)
        VALUES ('tester', 'eventix.test.v1', 4, 2, 2, FALSE)";
    world.execute(unseen, vec![]).await;

    world.run();

    for aggregate in aggregates {
        world.until_effects(aggregate, &[1]).await;
    }
    assert_eq!(world.offset(4).await.unwrap().incarnation, 3);
    world.halt().await;
}

/// A database restored to a moment ago has lost effects that the reader, which still runs, believes are there.
async fn a_position_set_back_under_a_running_reader_is_gone_on_from(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let (kept, undone, later) = (aggregate_in(4), aggregate_in(4), aggregate_in(4));
    for aggregate in [kept, undone] {
        world.tell(&[fact(aggregate, 1, "x")]).await;
        world.until_effects(aggregate, &[1]).await;
    }

    undo(&world, kept, undone).await;
    world.tell(&[fact(later, 1, "x")]).await;

    world.until_effects(later, &[1]).await;
    assert_eq!(world.effects_of(undone).await, [1], "taken once more, before what follows it");
    let offset = world.offset(4).await.unwrap();
    assert_eq!((offset.next, offset.incarnation), (3, 1));
    world.halt().await;
}

/// Takes back what the last fact did, as if its transaction had never been.
async fn undo(world: &World, kept: Uuid, undone: Uuid) {
    let transaction = world.db.begin().await.unwrap();
    for table in ["effects", "inbox", "watermarks"] {
        let sql = format!("DELETE FROM {table} WHERE aggregate_id = $1");
        world.db.execute(&transaction, sql, [undone.into()]).await.unwrap();
    }
    let sql = "UPDATE consumer_offsets SET next_offset = 1, last_fact_id = (SELECT fact_id FROM inbox WHERE aggregate_id = $1)
        WHERE log_partition = 4";
    world.db.execute(&transaction, sql, [kept.into()]).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn while_its_producer_is_down_a_new_log_is_read_and_the_rest_asked_for_later(db: TestDb) {
    let mut broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let (before, lost, after) = (aggregate_in(2), aggregate_in(2), aggregate_in(2));
    world.tell(&[fact(before, 1, "x")]).await;
    world.until_effects(before, &[1]).await;
    world.read_to_end().await;

    broker.stop().await;
    world.tell_silently(&[fact(lost, 1, "x")]).await;
    world.source.down.store(true, Ordering::SeqCst);
    broker.lose_data();
    broker.resume().await;
    world.tell(&[fact(after, 1, "x")]).await;

    world.until_effects(after, &[1]).await;
    let asked = world.source.asked.load(Ordering::SeqCst);
    eventually("it is asked again and again", async || {
        (world.source.asked.load(Ordering::SeqCst) >= asked + 2).then_some(())
    })
    .await;
    assert!(world.offset(2).await.unwrap().recovering);
    assert!(world.effects_of(lost).await.is_empty());

    world.source.down.store(false, Ordering::SeqCst);
    world.until_effects(lost, &[1]).await;
    eventually("recovered", async || world.offset(2).await.filter(|offset| !offset.recovering)).await;
    assert_eq!(world.count("effects").await, 3);
    world.halt().await;
}
