//! What we ask of a broker, and what our module makes of it: one contract, met by every broker we run on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::bus::{Bus, BusError, Incoming, Outgoing, PartitionLog};
use futures_util::future::join_all;

use crate::world::eventually;

/// A broker as the contract sees it.
pub trait BrokerUnderTest {
    fn bus(&self) -> Bus;

    /// A name no other topic of this broker has.
    fn topic(&self, name: &str) -> String;

    /// How long its fetches may wait.
    fn fetch_wait(&self) -> Duration;

    /// Whether it says that an offset is out of range, or just answers with nothing.
    fn says_out_of_range(&self) -> bool;

    /// SIGSTOP: connections stay open and nobody answers.
    fn freeze(&self);

    fn thaw(&self);
}

/// What a call may take: its own bound, and a busy machine.
const BOUND: Duration = Duration::from_secs(14);

fn record(key: &str, value: impl Into<Vec<u8>>) -> Outgoing {
    Outgoing { key: key.as_bytes().to_vec(), value: value.into(), headers: BTreeMap::new() }
}

/// Opens a partition of a topic just made: Kafka tells of its leader a moment before that one serves it.
async fn opened(bus: &Bus, topic: &str, partition: i32) -> PartitionLog {
    eventually("a new partition is served", async || {
        let log = bus.open(topic, partition).await.ok()?;
        log.range().await.is_ok().then_some(log)
    })
    .await
}

async fn read(log: &PartitionLog, wait: Duration, count: usize) -> Vec<Incoming> {
    let mut found: Vec<Incoming> = Vec::new();
    let until = Instant::now() + Duration::from_secs(20);
    while found.len() < count && Instant::now() < until {
        let next = found.last().map_or(0, |r| r.offset + 1);
        found.extend(log.fetch(next, wait).await.unwrap());
    }
    found
}

pub async fn a_topic_is_made_once_and_keeps_its_partitions(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("made"));

    bus.ensure_topic(topic, 3).await.unwrap();
    let again = join_all((0..4).map(|_| bus.ensure_topic(topic, 3))).await;
    let other = bus.ensure_topic(topic, 5).await;

    assert!(again.iter().all(Result::is_ok));
    assert!(matches!(other, Err(BusError::Partitions { found: 3, wanted: 5, .. })), "{other:?}");
}

pub async fn records_come_back_in_order_with_keys_and_headers(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("ordered"));
    bus.ensure_topic(topic, 2).await.unwrap();
    let producer = bus.producer(topic);
    let headers = BTreeMap::from([("ce_id".to_owned(), "ü-1".to_owned()), ("traceparent".to_owned(), "00".to_owned())]);
    let first = Outgoing { headers: headers.clone(), ..record("a", "1") };

    let offsets = producer.produce(1, vec![first, record("b", "2")]).await.unwrap();
    let more = producer.produce(1, vec![record("c", "3")]).await.unwrap();
    let log = bus.open(topic, 1).await.unwrap();
    let found = read(&log, broker.fetch_wait(), 3).await;

    assert_eq!((offsets, more), (vec![0, 1], vec![2]));
    assert_eq!(found.iter().map(|r| r.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(found.iter().map(|r| r.value.clone()).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    assert_eq!(found[1].key.as_deref(), Some(b"b".as_slice()));
    assert_eq!(found[0].headers, headers);
    assert_eq!(log.range().await.unwrap(), (0, 3));
    assert_eq!(log.end(), 3);
    assert_eq!(opened(&bus, topic, 0).await.range().await.unwrap(), (0, 0));
}

pub async fn an_empty_key_and_a_large_value_survive(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("large"));
    bus.ensure_topic(topic, 1).await.unwrap();
    let value = vec![7; 1_000_000];

    bus.producer(topic).produce(0, vec![record("", value.clone())]).await.unwrap();
    let found = read(&bus.open(topic, 0).await.unwrap(), broker.fetch_wait(), 1).await;

    assert_eq!(found[0].key.as_deref().unwrap_or_default(), b"");
    assert!(found[0].value == value);
}

pub async fn producers_at_once_lose_nothing_and_keep_their_own_order(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("shared"));
    bus.ensure_topic(topic, 1).await.unwrap();

    let producing = ["a", "b", "c", "d"].map(|name| {
        let producer = bus.producer(topic);
        async move {
            for n in 0..25 {
                producer.produce(0, vec![record(name, [n])]).await.unwrap();
            }
        }
    });
    join_all(producing).await;
    let found = read(&bus.open(topic, 0).await.unwrap(), broker.fetch_wait(), 100).await;

    assert_eq!(found.iter().map(|r| r.offset).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
    for name in ["a", "b", "c", "d"] {
        let own = found.iter().filter(|r| r.key.as_deref() == Some(name.as_bytes()));
        assert_eq!(own.map(|r| r.value[0]).collect::<Vec<_>>(), (0..25).collect::<Vec<_>>());
    }
}

pub async fn a_fetch_waits_for_the_next_record(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("awaited"));
    bus.ensure_topic(topic, 1).await.unwrap();
    let log = opened(&bus, topic, 0).await;

    let nothing = log.fetch(0, broker.fetch_wait()).await.unwrap();
    let (found, _) = tokio::join!(read(&log, broker.fetch_wait(), 1), async {
        bus.producer(topic).produce(0, vec![record("k", "v")]).await.unwrap()
    });

    assert!(nothing.is_empty());
    assert_eq!(found[0].value, b"v");
}

pub async fn an_offset_beyond_the_end_brings_no_records(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("short"));
    bus.ensure_topic(topic, 1).await.unwrap();
    bus.producer(topic).produce(0, vec![record("k", "v")]).await.unwrap();
    let log = bus.open(topic, 0).await.unwrap();

    let beyond = log.fetch(57, broker.fetch_wait()).await;

    if broker.says_out_of_range() {
        assert!(matches!(beyond, Err(BusError::OutOfRange(57))), "{beyond:?}");
    } else {
        assert!(beyond.unwrap().is_empty());
    }
    assert_eq!(log.range().await.unwrap(), (0, 1), "the range tells, whatever a fetch says");
}

pub async fn every_call_to_a_frozen_broker_ends_in_time(broker: &impl BrokerUnderTest) {
    let (bus, topic) = (broker.bus(), &broker.topic("frozen"));
    bus.ensure_topic(topic, 3).await.unwrap();
    let (log, other) = (bus.open(topic, 0).await.unwrap(), bus.open(topic, 1).await.unwrap());
    let (warm, cold) = (bus.producer(topic), bus.producer(topic));
    warm.produce(0, vec![record("k", "before")]).await.unwrap();

    broker.freeze();
    let began = Instant::now();
    let (opened, made, fetched, range, warm_produced, cold_produced) = tokio::join!(
        bus.open(topic, 2),
        bus.ensure_topic(topic, 3),
        log.fetch(1, broker.fetch_wait()),
        other.range(),
        warm.produce(0, vec![record("k", "during")]),
        // All at once through one producer: none waits for the connecting of another.
        join_all((0..3).map(|p| cold.produce(p, vec![record("k", "during")]))),
    );
    let took = began.elapsed();
    broker.thaw();

    assert!(took < BOUND, "{took:?}");
    let failed = [opened.is_err(), made.is_err(), fetched.is_err(), range.is_err(), warm_produced.is_err()];
    assert_eq!(failed, [true; 5], "open, ensure topic, fetch, range, produce");
    assert!(cold_produced.iter().all(Result::is_err));
    eventually("the thawed broker is used again", || async { warm.produce(1, vec![record("k", "after")]).await.ok() })
        .await;
    eventually("and the other producer too", || async { cold.produce(2, vec![record("k", "after")]).await.ok() }).await;
}

pub async fn an_unknown_topic_is_told_apart(broker: &impl BrokerUnderTest) {
    let bus = broker.bus();
    bus.ensure_topic(&broker.topic("known"), 1).await.unwrap();

    let Err(reading) = bus.open("unknown-to-readers", 0).await else { panic!("opened a topic that is not there") };
    let producing = bus.producer("unknown-to-writers").produce(0, vec![record("k", "v")]).await.unwrap_err();

    assert!(reading.is_unknown_topic(), "{reading:?}");
    assert!(producing.is_unknown_topic(), "{producing:?}");
}
