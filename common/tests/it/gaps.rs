//! Facts out of order and facts that are missing: later ones are parked, and the producer is asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use common::on_both_databases;
use common::testing::TestDb;

use crate::brokers::Broker;
use crate::world::{DELICATE, POISON, World, aggregate_in, eventually, fact};

/// How soon facts are missed in tests that wait for that.
const SOON: Duration = Duration::from_millis(300);
/// Long enough for several comparisons.
const ROUNDS: Duration = Duration::from_secs(6);

on_both_databases!(
    reordered_facts_take_effect_in_order,
    a_gap_is_parked_while_others_go_on_and_heals_when_the_producer_answers,
    a_gap_that_nobody_can_fill_waits_without_hammering_the_producer,
    a_parked_fact_that_cannot_be_handled_becomes_one_dead_letter,
    a_parked_fact_whose_handler_fails_for_now_does_not_hold_up_others,
    a_parked_fact_whose_handler_keeps_failing_becomes_a_dead_letter,
    a_last_fact_that_the_log_lost_is_missed_and_asked_for,
    a_consumer_that_is_behind_misses_nothing_yet,
);

async fn reordered_facts_take_effect_in_order(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = aggregate_in(5);
    let facts: Vec<_> = (1..=8).map(|sequence| fact(aggregate, sequence, "x")).collect();
    let told = world.tell_silently(&facts).await;

    let reordered = [7, 2, 0, 1, 6, 3, 5, 4].map(|n: usize| told[n].clone());
    world.produce(5, &reordered).await;
    world.run();

    world.until_effects(aggregate, &[1, 2, 3, 4, 5, 6, 7, 8]).await;
    world.read_to_end().await;
    world.until_count("parked", 0).await;
    assert_eq!(world.effects_of(aggregate).await.len(), 8);
    world.halt().await;
}

async fn a_gap_is_parked_while_others_go_on_and_heals_when_the_producer_answers(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let (gappy, other) = (aggregate_in(6), aggregate_in(6));
    let facts: Vec<_> = (1..=7).map(|sequence| fact(gappy, sequence, "x")).collect();
    let told = world.tell_silently(&facts).await;
    let others = world.tell_silently(&[fact(other, 1, "x")]).await;
    world.source.down.store(true, Ordering::SeqCst);

    world.produce(6, &[told[0].clone(), told[6].clone(), others[0].clone()]).await;
    world.run();
    world.until_effects(other, &[1]).await;
    world.read_to_end().await;
    assert_eq!(world.effects_of(gappy).await, [1]);
    assert_eq!(world.count("parked").await, 1);
    world.source.down.store(false, Ordering::SeqCst);

    world.until_effects(gappy, &[1, 2, 3, 4, 5, 6, 7]).await;
    world.until_count("parked", 0).await;
    world.halt().await;
}

async fn a_gap_that_nobody_can_fill_waits_without_hammering_the_producer(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = aggregate_in(7);
    let told = world.tell_silently(&[fact(aggregate, 1, "x"), fact(aggregate, 2, "x")]).await;
    world.execute("DELETE FROM outbox WHERE sequence = 1", vec![]).await;

    world.produce(7, &told[1..]).await;
    world.run();
    world.until_count("parked", 1).await;
    eventually("the producer is asked", async || (world.source.asked.load(Ordering::SeqCst) > 0).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let asked = world.source.asked.load(Ordering::SeqCst);
    assert!(asked <= 4, "asked {asked} times in three seconds");
    assert!(world.effects_of(aggregate).await.is_empty());
    world.produce(7, &told[..1]).await;
    world.until_effects(aggregate, &[1, 2]).await;
    world.halt().await;
}

async fn a_parked_fact_that_cannot_be_handled_becomes_one_dead_letter(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    let aggregate = aggregate_in(8);
    let told =
        world.tell_silently(&[fact(aggregate, 1, "x"), fact(aggregate, 2, POISON), fact(aggregate, 3, "x")]).await;

    world.produce(8, &[told[1].clone(), told[2].clone(), told[0].clone()]).await;
    world.run();
    world.until_effects(aggregate, &[1]).await;
    world.until_count("dead_letters", 1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    assert_eq!(world.count("dead_letters").await, 1, "one letter, however often the parked are looked at");
    assert_eq!(world.count("parked").await, 1, "only what stands behind it");
    world.halt().await;
}

async fn a_parked_fact_whose_handler_fails_for_now_does_not_hold_up_others(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.effects.sick.store(true, Ordering::SeqCst);
    let (sick, healthy) = (aggregate_in(9), aggregate_in(9));
    assert!(sick < healthy, "the sick one is looked at first");
    let sick_told = world.tell_silently(&[fact(sick, 1, DELICATE), fact(sick, 2, "x")]).await;
    let told = world.tell_silently(&[fact(healthy, 1, "x"), fact(healthy, 2, "x")]).await;

    world.produce(9, &[sick_told[1].clone(), told[1].clone()]).await;
    world.run();
    world.until_effects(healthy, &[1, 2]).await;
    assert!(world.effects_of(sick).await.is_empty());
    world.effects.sick.store(false, Ordering::SeqCst);

    world.until_effects(sick, &[1, 2]).await;
    assert_eq!(world.count("dead_letters").await, 0);
    world.halt().await;
}

async fn a_parked_fact_whose_handler_keeps_failing_becomes_a_dead_letter(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.patience = Duration::from_millis(500);
    world.effects.sick.store(true, Ordering::SeqCst);
    let aggregate = aggregate_in(10);
    let told = world.tell_silently(&[fact(aggregate, 1, DELICATE), fact(aggregate, 2, "x")]).await;

    world.produce(10, &told[1..]).await;
    world.run();

    world.until_count("dead_letters WHERE status = 'open' AND sequence = 1", 1).await;
    assert_eq!(world.count("parked WHERE sequence = 2").await, 1);
    world.halt().await;
}

async fn a_last_fact_that_the_log_lost_is_missed_and_asked_for(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.waiting = SOON;
    let (lost, brought) = (aggregate_in(1), aggregate_in(2));
    let told = world.tell_silently(&[fact(lost, 1, "x"), fact(brought, 1, "x"), fact(lost, 2, "x")]).await;

    world.produce(1, &told[..1]).await;
    world.produce(2, &told[1..2]).await;
    world.run();

    world.until_effects(lost, &[1, 2]).await;
    assert_eq!(world.effects_of(brought).await, [1]);
    assert_eq!(world.source.asked_for.lock().unwrap().as_slice(), [lost]);
    world.halt().await;
}

async fn a_consumer_that_is_behind_misses_nothing_yet(db: TestDb) {
    let broker = Broker::start().await;
    let mut world = World::new(db, broker.addr).await;
    world.waiting = SOON;
    world.effects.sick.store(true, Ordering::SeqCst);
    let (first, second) = (aggregate_in(3), aggregate_in(3));
    let told = world.tell_silently(&[fact(first, 1, DELICATE), fact(second, 1, "x")]).await;

    world.produce(3, &told).await;
    world.run();
    let tried = async || (world.effects.calls.load(Ordering::SeqCst) > 5).then_some(());
    eventually("the first one is tried again and again", tried).await;
    tokio::time::sleep(ROUNDS).await;
    assert!(world.source.asked_for.lock().unwrap().is_empty(), "the log will bring it");
    world.effects.sick.store(false, Ordering::SeqCst);

    world.until_effects(second, &[1]).await;
    world.halt().await;
}
