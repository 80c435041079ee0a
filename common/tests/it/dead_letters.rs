//! Records that need a person: put aside once, with what stands behind them, until somebody decides.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::bus::Outgoing;
use common::fact::NewFact;
use common::ids::FactId;
use common::on_both_databases;
use common::testing::TestDb;
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{DELICATE, POISON, World, aggregate_in, fact};

on_both_databases!(
    records_that_are_no_facts_are_put_aside_and_the_partition_goes_on,
    a_fact_that_cannot_be_handled_leaves_nothing_but_its_letter,
    later_facts_wait_behind_a_letter_until_it_is_discarded,
    later_facts_wait_behind_a_letter_until_it_is_requeued,
    a_requeued_letter_that_fails_again_is_a_new_letter,
    a_fact_that_is_a_letter_already_makes_no_second_one,
    a_handler_that_keeps_failing_makes_a_letter_and_the_partition_goes_on,
);

fn raw(key: &[u8], value: Vec<u8>) -> Outgoing {
    Outgoing { key: key.to_vec(), value, headers: BTreeMap::from([("who".into(), "a stranger".into())]) }
}

fn poison(aggregate: Uuid) -> [NewFact; 4] {
    [fact(aggregate, 1, "x"), fact(aggregate, 2, POISON), fact(aggregate, 3, "x"), fact(aggregate, 4, "x")]
}

/// What `eventix dead-letters` writes.
async fn decide(world: &World, sequence: i64, status: &str) {
    let sql = "UPDATE dead_letters SET status = $1, decided_at = 1, decided_by = 'a person' WHERE sequence = $2 AND status = 'open'";
    assert_eq!(world.execute(sql, vec![status.into(), sequence.into()]).await, 1);
}

async fn records_that_are_no_facts_are_put_aside_and_the_partition_goes_on(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let (strange, good) = (aggregate_in(1), aggregate_in(1));
    let unknown = NewFact { kind: "eventix.test.v9.Unheard".into(), ..fact(strange, 1, "x") };
    let told = world.tell_silently(&[unknown, fact(good, 1, "x")]).await;
    let keyless = Outgoing { key: Vec::new(), ..told[1].clone() };

    let random = [0xff, 0x00, 0x91, 0x7f, 0xfe].repeat(7);
    let records =
        [raw(b"k", random.clone()), raw(b"", Vec::new()), raw(b"k", vec![0x0a; 1_000_000]), told[0].clone(), keyless];
    for record in records {
        world.produce(1, &[record]).await;
    }
    world.run();
    world.until_effects(good, &[1]).await;
    world.read_to_end().await;

    assert_eq!(world.count("dead_letters WHERE status = 'open'").await, 4);
    assert_eq!(world.count("effects").await, 1, "the unknown fact's own effect was rolled back");
    let rows = world.rows("SELECT * FROM dead_letters WHERE log_offset = 0", vec![]).await;
    assert_eq!(rows[0].try_get::<Vec<u8>>("", "value").unwrap(), random);
    assert_eq!(rows[0].try_get::<Vec<u8>>("", "record_key").unwrap(), b"k");
    assert_eq!(rows[0].try_get::<String>("", "headers").unwrap(), r#"{"who":"a stranger"}"#);
    assert_eq!(rows[0].try_get::<i32>("", "log_partition").unwrap(), 1);
    let rows = world.rows("SELECT error FROM dead_letters WHERE log_offset = 3", vec![]).await;
    assert!(rows[0].try_get::<String>("", "error").unwrap().contains("eventix.test.v9.Unheard"));
    world.halt().await;
}

async fn a_fact_that_cannot_be_handled_leaves_nothing_but_its_letter(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();

    world.tell(&[fact(aggregate, 1, POISON)]).await;
    world.until_count("dead_letters", 1).await;
    world.read_to_end().await;

    assert_eq!(world.count("effects").await + world.count("inbox").await, 0);
    world.halt().await;
}

async fn later_facts_wait_behind_a_letter_until_it_is_discarded(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let (aggregate, other) = (aggregate_in(2), aggregate_in(2));
    world.tell(&poison(aggregate)).await;
    world.tell(&[fact(other, 1, "x")]).await;
    world.until_effects(other, &[1]).await;
    world.read_to_end().await;
    assert_eq!(world.effects_of(aggregate).await, [1]);
    assert_eq!(world.count("parked").await, 2);

    decide(&world, 2, "discarded").await;

    world.until_effects(aggregate, &[1, 3, 4]).await;
    world.until_count("dead_letters WHERE settled_at IS NOT NULL", 1).await;
    world.tell(&[fact(aggregate, 5, "x")]).await;
    world.until_effects(aggregate, &[1, 3, 4, 5]).await;
    world.until_count("parked", 0).await;
    world.halt().await;
}

async fn later_facts_wait_behind_a_letter_until_it_is_requeued(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.patience = Duration::from_millis(100);
    world.effects.sick.store(true, Ordering::SeqCst);
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, DELICATE), fact(aggregate, 2, "x"), fact(aggregate, 3, "x")]).await;
    world.until_count("dead_letters", 1).await;
    world.read_to_end().await;
    assert!(world.effects_of(aggregate).await.is_empty());

    world.effects.sick.store(false, Ordering::SeqCst);
    decide(&world, 1, "requeued").await;

    world.until_effects(aggregate, &[1, 2, 3]).await;
    world.until_count("parked", 0).await;
    assert_eq!(world.count("dead_letters WHERE settled_at IS NOT NULL AND decided_by = 'a person'").await, 1);
    assert_eq!(world.count("inbox").await, 3);
    world.halt().await;
}

async fn a_requeued_letter_that_fails_again_is_a_new_letter(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&poison(aggregate)).await;
    world.until_count("dead_letters", 1).await;

    decide(&world, 2, "requeued").await;
    world.until_count("dead_letters", 2).await;
    assert_eq!(world.count("dead_letters WHERE status = 'requeued' AND settled_at IS NOT NULL").await, 1);
    world.read_to_end().await;
    assert_eq!(world.effects_of(aggregate).await, [1]);
    decide(&world, 2, "discarded").await;

    world.until_effects(aggregate, &[1, 3, 4]).await;
    assert_eq!(world.count("dead_letters").await, 2);
    world.halt().await;
}

async fn a_fact_that_is_a_letter_already_makes_no_second_one(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = aggregate_in(3);
    let told = world.tell_silently(&poison(aggregate)).await;
    world.produce(3, &told).await;
    world.run();
    world.until_count("dead_letters", 1).await;

    world.produce(3, &told).await;
    world.consumer().ask(aggregate).await.unwrap();
    world.read_to_end().await;

    assert_eq!(world.count("dead_letters").await, 1);
    assert_eq!(world.count("parked").await, 2);
    assert_eq!(world.effects_of(aggregate).await, [1]);
    world.halt().await;
}

async fn a_handler_that_keeps_failing_makes_a_letter_and_the_partition_goes_on(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.patience = Duration::from_millis(300);
    world.effects.sick.store(true, Ordering::SeqCst);
    let (sick, next) = (aggregate_in(4), aggregate_in(4));
    let told = world.tell_silently(&[fact(sick, 1, DELICATE), fact(next, 1, "x")]).await;

    world.produce(4, &told).await;
    world.run();
    world.until_effects(next, &[1]).await;

    let rows = world.rows("SELECT error, aggregate_id, id FROM dead_letters", vec![]).await;
    assert!(rows[0].try_get::<String>("", "error").unwrap().contains("not today"));
    assert_eq!(rows[0].try_get::<Uuid>("", "aggregate_id").unwrap(), sick);
    assert!(rows[0].try_get::<FactId>("", "id").is_ok());
    assert!(world.effects.calls.load(Ordering::SeqCst) >= 4, "it was tried more than once before");
    world.halt().await;
}
