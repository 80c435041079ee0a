//! Brokers that stop, freeze, die and lose everything, under traffic.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::bus::{Bus, Outgoing};
use common::outbox::partition_of;
use common::tables::PARTITIONS;
use common::testing::TestDb;
use tempfile::TempDir;
use uuid::Uuid;

use crate::brokers::{Broker, Process};
use crate::contract::BrokerUnderTest;
use crate::world::{TOPIC, World, aggregate_in, eventually, fact};

#[tokio::test]
async fn a_broker_restarted_with_its_data_goes_on() {
    let mut broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, "x")]).await;
    world.until_effects(aggregate, &[1]).await;

    broker.stop().await;
    world.tell(&[fact(aggregate, 2, "x")]).await;
    broker.resume().await;

    world.until_effects(aggregate, &[1, 2]).await;
    let offset = world.offset(partition_of(aggregate)).await.unwrap();
    assert_eq!((offset.incarnation, offset.recovering), (1, false));
    world.halt().await;
}

#[tokio::test]
async fn a_broker_that_lost_its_data_is_another_log_and_what_it_lost_comes_from_the_producer() {
    let mut broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let (known, lost) = (aggregate_in(2), aggregate_in(3));
    world.tell(&[fact(known, 1, "x"), fact(known, 2, "x")]).await;
    world.until_effects(known, &[1, 2]).await;
    world.read_to_end().await;

    broker.stop().await;
    // On the log that is gone, and read by nobody.
    world.tell_silently(&[fact(lost, 1, "x"), fact(lost, 2, "x"), fact(known, 3, "x")]).await;
    broker.lose_data();
    broker.resume().await;

    world.until_effects(lost, &[1, 2]).await;
    world.until_effects(known, &[1, 2, 3]).await;
    let healed = async || world.offset(2).await.filter(|o| o.incarnation == 2 && !o.recovering);
    eventually("a new incarnation, recovered", healed).await;
    world.tell(&[fact(known, 4, "x"), fact(lost, 3, "x")]).await;
    world.until_effects(known, &[1, 2, 3, 4]).await;
    world.until_effects(lost, &[1, 2, 3]).await;
    world.read_to_end().await;
    assert_eq!(world.offset(2).await.unwrap().next, 1, "the new log's own offsets");
    world.halt().await;
}

#[tokio::test]
async fn a_new_log_that_grew_beyond_our_offset_is_still_found_to_be_another() {
    let mut broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let aggregate = aggregate_in(4);
    world.tell(&[fact(aggregate, 1, "x")]).await;
    world.until_effects(aggregate, &[1]).await;
    world.halt().await;

    broker.stop().await;
    broker.lose_data();
    broker.resume().await;
    world.bus.ensure_topic(TOPIC, PARTITIONS).await.unwrap();
    let others = [aggregate_in(4), aggregate_in(4), aggregate_in(4)];
    let told = world.tell_silently(&others.map(|id| fact(id, 1, "x"))).await;
    world.produce(4, &told).await;
    world.run();

    for other in others {
        world.until_effects(other, &[1]).await;
    }
    assert_eq!(world.offset(4).await.unwrap().incarnation, 2);
    assert_eq!(world.effects_of(aggregate).await, [1]);
    world.halt().await;
}

/// While the reader waits: its next connection meets a log in which its offset is nothing special.
#[tokio::test]
async fn a_log_exchanged_behind_a_running_readers_back_is_found_out() {
    let mut broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let aggregate = aggregate_in(4);
    world.tell(&[fact(aggregate, 1, "x")]).await;
    world.until_effects(aggregate, &[1]).await;
    let others = [aggregate_in(4), aggregate_in(4), aggregate_in(4)];
    let told = world.tell_silently(&others.map(|id| fact(id, 1, "x"))).await;
    world.source.down.store(true, Ordering::SeqCst);

    let addr = broker.addr;
    broker.stop().await;
    broker.lose_data();
    broker.addr = SocketAddr::from(([127, 0, 0, 1], 0));
    broker.resume().await;
    let elsewhere = Bus::new(&broker.addr.to_string());
    elsewhere.ensure_topic(TOPIC, PARTITIONS).await.unwrap();
    elsewhere.producer(TOPIC).produce(4, told).await.unwrap();
    broker.stop().await;
    broker.addr = addr;
    broker.resume().await;

    for other in others {
        world.until_effects(other, &[1]).await;
    }
    assert_eq!(world.offset(4).await.unwrap().incarnation, 2);
    world.halt().await;
}

#[tokio::test]
async fn a_new_log_is_found_out_even_behind_a_record_that_was_no_fact() {
    let mut broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    let garbage = |byte| Outgoing { key: vec![], value: vec![byte; 9], headers: Default::default() };
    world.produce(5, &[garbage(0xff)]).await;
    world.run();
    world.until_count("dead_letters", 1).await;
    world.halt().await;
    world.run();
    eventually("the same log is read on", async || world.offset(5).await.filter(|o| o.incarnation == 1)).await;
    world.halt().await;

    broker.stop().await;
    broker.lose_data();
    broker.resume().await;
    world.bus.ensure_topic(TOPIC, PARTITIONS).await.unwrap();
    world.produce(5, &[garbage(0xfe), garbage(0xfd)]).await;
    world.run();

    world.until_count("dead_letters", 3).await;
    assert_eq!(world.offset(5).await.unwrap().incarnation, 2);
    world.halt().await;
}

#[tokio::test]
async fn an_offset_below_what_the_log_keeps_starts_at_its_beginning() {
    let broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    let (kept, dropped) = (aggregate_in(6), aggregate_in(6));
    let told = world.tell_silently(&[fact(kept, 1, "x"), fact(dropped, 1, "x")]).await;
    world.produce(6, &told[..1]).await;
    // This broker keeps everything, so the offset is put below its beginning instead.
    let behind = "INSERT INTO consumer_offsets (consumer, topic, log_partition, next_offset, incarnation, recovering)
        VALUES ('tester', 'eventix.test.v1', 6, -5, 1, FALSE)";
    world.execute(behind, vec![]).await;

    world.run();

    world.until_effects(kept, &[1]).await;
    world.until_effects(dropped, &[1]).await;
    assert_eq!(world.offset(6).await.unwrap().incarnation, 2);
    world.halt().await;
}

/// Longer than any call may take, so that every connection is given up on the way.
#[tokio::test]
async fn a_broker_frozen_for_twelve_seconds_loses_nothing_and_repeats_nothing() {
    let broker = Process::devbroker().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let aggregates: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    tell_all(&world, &aggregates, 1).await;
    world.until_effects(aggregates[0], &[1]).await;

    broker.freeze();
    tell_all(&world, &aggregates, 2).await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    broker.thaw();
    tell_all(&world, &aggregates, 3).await;

    for aggregate in &aggregates {
        world.until_effects(*aggregate, &[1, 2, 3]).await;
    }
    world.read_to_end().await;
    assert_eq!(world.count("effects").await, 24);
    assert_eq!(world.count("consumer_offsets WHERE incarnation <> 1").await, 0);
    world.halt().await;
}

#[tokio::test]
async fn a_broker_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("log");
    let first = Process::devbroker().await;
    let addr: SocketAddr = first.addr;
    first.kill().await;
    let mut broker = Process::devbroker_at(addr, &data).await;
    let mut world = World::new(TestDb::sqlite().await, addr).await;
    world.run();
    let aggregates: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();

    for round in 0..4 {
        for sequence in 1..=5 {
            tell_all(&world, &aggregates, round * 5 + sequence).await;
        }
        broker.kill().await;
        broker = Process::devbroker_at(addr, &data).await;
    }

    for aggregate in &aggregates {
        world.until_effects(*aggregate, &(1..=20).collect::<Vec<_>>()).await;
    }
    world.read_to_end().await;
    assert_eq!(world.count("effects").await, 160);
    assert_eq!(world.count("dead_letters").await + world.count("parked").await, 0);
    assert_eq!(world.count("consumer_offsets WHERE incarnation <> 1").await, 0);
    world.halt().await;
}

/// A service must stop within its drain time also when its broker answers nothing.
#[tokio::test]
async fn stopping_does_not_wait_for_a_frozen_broker() {
    let broker = Process::devbroker().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, "x")]).await;
    world.until_effects(aggregate, &[1]).await;

    broker.freeze();
    world.tell(&[fact(aggregate, 2, "x")]).await;
    tokio::time::sleep(Duration::from_millis(700)).await;

    let stopped = tokio::time::timeout(Duration::from_secs(4), world.halt()).await;
    broker.thaw();
    assert!(stopped.is_ok());
}

async fn tell_all(world: &World, aggregates: &[Uuid], sequence: i64) {
    for aggregate in aggregates {
        world.tell(&[fact(*aggregate, sequence, "x")]).await;
    }
}
