//! Facts from the outbox over Kafka into the inbox, on a cluster that is well.

use std::sync::atomic::Ordering;

use common::outbox::partition_of;
use common::testing::TestDb;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::world::{World, aggregate_in, fact};

#[tokio::test]
async fn facts_take_effect_once_and_in_order_also_when_told_again() {
    let cluster = Cluster::met().await;
    let mut world = World::on(TestDb::sqlite().await, &cluster.brokers, cluster.lasting_topic("flow")).await;
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
    world.outbox.tell_last_again(world.db.writer(), aggregates[0]).await.unwrap();
    world.outbox.wake();
    world.read_to_end().await;

    assert_eq!(world.effects.calls.load(Ordering::SeqCst), 36);
    let log = world.log(partition_of(aggregates[0])).await;
    let told = log.iter().filter(|r| r.key.as_deref() == Some(aggregates[0].to_string().as_bytes()));
    assert_eq!(told.count(), 7, "once more than facts");
    world.halt().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_stopped() {
    let cluster = Cluster::met().await;
    let mut world = World::on(TestDb::sqlite().await, &cluster.brokers, cluster.lasting_topic("restart")).await;
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

#[tokio::test]
async fn records_that_were_deleted_unread_come_from_their_producer() {
    let cluster = Cluster::met().await;
    let topic = cluster.lasting_topic("deleted");
    let mut world = World::on(TestDb::sqlite().await, &cluster.brokers, topic).await;
    world.run();
    let (read, deleted, kept) = (aggregate_in(4), aggregate_in(4), aggregate_in(4));
    world.tell(&[fact(read, 1, "x")]).await;
    world.until_effects(read, &[1]).await;
    world.halt().await;

    let told = world.tell_silently(&[fact(deleted, 1, "x"), fact(kept, 1, "x")]).await;
    world.produce(4, &told).await;
    cluster.delete_before(topic, 4, 2).await;
    world.run();

    world.until_effects(kept, &[1]).await;
    world.until_effects(deleted, &[1]).await;
    assert_eq!(world.count("effects").await, 3);
    let offset = world.offset(4).await.unwrap();
    assert_eq!((offset.next, offset.incarnation), (3, 2), "a new incarnation that begins at the log's beginning");
    world.halt().await;
}
