//! Topics at the start of a service: made as they must be, or the service does not start.

use common::bus::{Bus, BusError};
use common::error::chain;
use common::settings::KafkaSettings;
use common::tables::PARTITIONS;
use common::testing::TestDb;

use crate::brokers::Broker;
use crate::world::{TOPIC, World};

#[tokio::test]
async fn a_topic_with_another_number_of_partitions_stops_the_service_and_is_named() {
    let mut broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    broker.stop().await;
    broker.lose_data();
    broker.resume().await;
    world.bus.ensure_topic(TOPIC, 5).await.unwrap();

    world.run();
    let failure = world.failure().await;

    let told = format!("topic {TOPIC} has 5 partitions instead of {PARTITIONS}");
    assert!(format!("{failure:#}").contains(&told), "{failure:#}");
}

#[tokio::test]
async fn more_copies_than_the_brokers_can_keep_are_refused_with_the_reason() {
    let broker = Broker::start().await;
    let with = |replication| {
        let settings = KafkaSettings { replication, ..KafkaSettings::default() };
        Bus::with(&broker.addr.to_string(), &settings).unwrap()
    };

    let refused = with(3).ensure_topic("copied", 1).await.unwrap_err();
    with(1).ensure_topic("single", 1).await.unwrap();
    with(-1).ensure_topic("as-the-broker-likes", 1).await.unwrap();

    assert!(matches!(refused, BusError::Kafka("create topic", _)), "{refused:?}");
    assert!(chain(&refused).contains("only 1 replica is possible"), "{}", chain(&refused));
    with(3).ensure_topic("single", 1).await.unwrap();
}
