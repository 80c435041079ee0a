//! Records are CloudEvents 1.0 in the binary mode of the Kafka protocol binding: attributes in headers prefixed `ce_`, the
//! content type in `content-type`, the data in the value.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use common::fact::Fact;
use common::outbox::{Listing, partition_of};
use common::telemetry::Carrier;
use common::testing::TestDb;
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{KIND, World, fact, outgoing};

#[tokio::test]
async fn a_record_is_a_cloud_event_on_the_log_and_when_it_is_told_again() {
    let broker = Broker::start().await;
    let mut world = World::new(TestDb::sqlite().await, broker.addr).await;
    world.run();
    let aggregate = Uuid::now_v7();
    world.tell(&[fact(aggregate, 1, "x")]).await;
    world.until_effects(aggregate, &[1]).await;

    let record = world.log(partition_of(aggregate)).await.remove(0);
    let told = outgoing(&world.outbox.list(Listing::Aggregate(aggregate, 0), 1).await.unwrap().records[0]);

    let fact = Fact::decode(&record.value, Carrier::new()).unwrap();
    let (id, subject) = (fact.id.to_string(), aggregate.to_string());
    let time = fact.occurred_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let expected = BTreeMap::from([
        ("ce_specversion", "1.0"),
        ("ce_id", &id),
        ("ce_source", "/eventix/tester"),
        ("ce_type", KIND),
        ("ce_subject", &subject),
        ("ce_time", &time),
        ("content-type", "application/protobuf"),
    ]);
    assert_eq!(attributes(&record.headers), expected);
    assert_eq!(attributes(&told.headers), expected);
    assert_eq!(record.key.as_deref(), Some(subject.as_bytes()));
    assert_eq!((told.key, told.value), (subject.into_bytes(), record.value));
    world.halt().await;
}

/// All but the trace context, which has a test of its own.
fn attributes(headers: &BTreeMap<String, String>) -> BTreeMap<&str, &str> {
    let attributes = headers.iter().filter(|(name, _)| !name.starts_with("trace"));
    attributes.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
