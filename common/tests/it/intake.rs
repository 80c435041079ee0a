//! The inbox transaction without a broker: facts that the producer tells when it is asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::bus::Bus;
use common::db::Db;
use common::inbox::{self, Consumer, ConsumerParts, ConsumerSettings};
use common::lease::Leases;
use common::on_both_databases;
use common::testing::TestDb;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{DELICATE, POISON, TOPIC, World, fact};

on_both_databases!(
    asking_takes_what_is_new_once,
    many_that_ask_at_once_take_each_fact_once,
    a_fact_that_cannot_be_handled_yet_is_parked_with_what_follows,
    an_id_used_for_another_fact_is_a_dead_letter,
    the_inbox_forgets_after_eight_days_but_not_how_far_it_came,
);

/// Nobody listens there, and nobody needs to.
fn consumer(world: &World, db: Db) -> Arc<Consumer> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let parts = ConsumerParts {
        leases: Arc::new(Leases::new(db.clone(), "asker".into(), Duration::from_secs(10), Vec::new())),
        db,
        bus: Bus::new(&nowhere.to_string()),
        handler: world.effects.clone(),
        source: world.source.clone(),
        settings: ConsumerSettings::default(),
    };
    Consumer::new("tester", "tester", TOPIC, parts)
}

async fn asking_takes_what_is_new_once(db: TestDb) {
    let broker = Broker::start().await;
    let world = World::new(db, broker.addr).await;
    let consumer = consumer(&world, Db::clone(&world.db));
    let aggregate = Uuid::now_v7();
    let facts: Vec<_> = (1..=7).map(|sequence| fact(aggregate, sequence, "x")).collect();
    world.tell_silently(&facts[..5]).await;

    assert_eq!(consumer.ask(aggregate).await.unwrap(), 5, "over two pages");
    assert_eq!(consumer.ask(aggregate).await.unwrap(), 0);
    world.tell_silently(&facts[5..]).await;
    assert_eq!(consumer.ask(aggregate).await.unwrap(), 2);

    assert_eq!(world.effects_of(aggregate).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(world.count("inbox").await, 7);
}

async fn many_that_ask_at_once_take_each_fact_once(db: TestDb) {
    let broker = Broker::start().await;
    let world = World::new(db, broker.addr).await;
    let aggregate = Uuid::now_v7();
    let facts: Vec<_> = (1..=9).map(|sequence| fact(aggregate, sequence, "x")).collect();
    world.tell_silently(&facts).await;
    let again = world.db.connect_again().await;
    let askers: Vec<_> =
        (0..6).map(|n| consumer(&world, if n % 2 == 0 { again.clone() } else { Db::clone(&world.db) })).collect();

    for told in join_all(askers.iter().map(|asker| asker.ask(aggregate))).await {
        told.unwrap();
    }

    assert_eq!(world.effects_of(aggregate).await, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(world.count("inbox").await, 9);
    assert_eq!(world.count("dead_letters").await, 0);
}

async fn a_fact_that_cannot_be_handled_yet_is_parked_with_what_follows(db: TestDb) {
    let broker = Broker::start().await;
    let world = World::new(db, broker.addr).await;
    let consumer = consumer(&world, Db::clone(&world.db));
    let aggregate = Uuid::now_v7();
    world.tell_silently(&[fact(aggregate, 1, DELICATE), fact(aggregate, 2, "x"), fact(aggregate, 3, POISON)]).await;
    world.effects.sick.store(true, Ordering::SeqCst);

    consumer.ask(aggregate).await.unwrap();

    assert_eq!(world.count("parked").await, 3);
    assert_eq!(world.count("effects").await + world.count("inbox").await + world.count("dead_letters").await, 0);
}

async fn an_id_used_for_another_fact_is_a_dead_letter(db: TestDb) {
    let broker = Broker::start().await;
    let world = World::new(db, broker.addr).await;
    let consumer = consumer(&world, Db::clone(&world.db));
    let aggregate = Uuid::now_v7();
    world.tell_silently(&[fact(aggregate, 1, "x")]).await;
    let copied = "INSERT INTO inbox (consumer, fact_id, producer, aggregate_id, sequence, processed_at)
        SELECT 'tester', id, 'tester', $1, 9, 0 FROM outbox";
    world.execute(copied, vec![Uuid::now_v7().into()]).await;

    consumer.ask(aggregate).await.unwrap();

    assert_eq!(world.count("dead_letters WHERE sequence = 1").await, 1);
    assert_eq!(world.count("effects").await, 0);
}

async fn the_inbox_forgets_after_eight_days_but_not_how_far_it_came(db: TestDb) {
    let broker = Broker::start().await;
    let world = World::new(db, broker.addr).await;
    let consumer = consumer(&world, Db::clone(&world.db));
    let aggregate = Uuid::now_v7();
    world.tell_silently(&[fact(aggregate, 1, "x")]).await;
    consumer.ask(aggregate).await.unwrap();

    world.db.shift_time(chrono::Duration::days(7));
    assert_eq!(inbox::clean(&world.db).await.unwrap(), 0);
    world.db.shift_time(chrono::Duration::days(2));
    assert_eq!(inbox::clean(&world.db).await.unwrap(), 1);
    consumer.ask(aggregate).await.unwrap();

    assert_eq!(world.effects_of(aggregate).await, [1]);
}
