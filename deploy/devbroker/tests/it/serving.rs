//! What rskafka gets from a running broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rskafka::client::error::{Error, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, UnknownTopicHandling};
use rskafka::record::Record;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Broker, FETCH_BYTES, client, create, fetch_all, partition, patiently, record, values};

/// By then a poll waits in the broker; were it too short, the test would only prove less.
const POLL_BEGUN: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_created_topic_has_its_partitions() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;

    create(&client, "facts", 12).await;

    let topics = patiently(client.list_topics()).await.unwrap();
    assert_eq!(topics.len(), 1);
    assert_eq!(topics[0].name, "facts");
    assert_eq!(topics[0].partitions, (0..12).collect());
    broker.stop().await;
}

#[tokio::test]
async fn impossible_topics_are_refused() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    let controller = client.controller_client().unwrap();
    create(&client, "facts", 1).await;

    let twice = patiently(controller.create_topic("facts", 1, 1, 5_000)).await;
    let empty = patiently(controller.create_topic("empty", 0, 1, 5_000)).await;
    let nameless = patiently(controller.create_topic("a name", 1, 1, 5_000)).await;
    // rskafka retries InvalidReplicationFactor by itself, so that refusal is seen in `wire`.

    assert_eq!(protocol_error(twice), ProtocolError::TopicAlreadyExists);
    assert_eq!(protocol_error(empty), ProtocolError::InvalidPartitions);
    assert_eq!(protocol_error(nameless), ProtocolError::InvalidTopicException);
    assert_eq!(patiently(client.list_topics()).await.unwrap().len(), 1);
    broker.stop().await;
}

#[tokio::test]
async fn records_come_back_in_order_with_keys_and_headers() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 2).await;
    let partition = partition(&client, "facts", 1).await;
    let sent: Vec<Record> = (0..100)
        .map(|n| Record {
            key: (n % 3 != 0).then(|| format!("key {n}").into_bytes()),
            headers: BTreeMap::from([("traceparent".to_owned(), format!("trace {n}").into_bytes())]),
            ..record(format!("value {n}"))
        })
        .collect();

    for (n, some) in sent.chunks(7).enumerate() {
        let offsets = patiently(partition.produce(some.to_vec(), Compression::NoCompression)).await.unwrap();
        assert_eq!(offsets[0], i64::try_from(n * 7).unwrap());
    }

    let found = fetch_all(&partition).await;
    assert!(found.iter().map(|record| record.offset).eq(0..100));
    assert!(found.iter().map(|found| &found.record).eq(&sent));
    assert_eq!(patiently(partition.get_offset(OffsetAt::Earliest)).await.unwrap(), 0);
    assert_eq!(patiently(partition.get_offset(OffsetAt::Latest)).await.unwrap(), 100);
    broker.stop().await;
}

#[tokio::test]
async fn snappy_batches_come_back() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let partition = partition(&client, "facts", 0).await;
    let sent: Vec<String> = (0..50).map(|n| format!("{n} {}", "seat ".repeat(200))).collect();

    let records = sent.iter().map(|value| record(value.clone())).collect();
    patiently(partition.produce(records, Compression::Snappy)).await.unwrap();

    assert_eq!(values(&fetch_all(&partition).await), sent);
    broker.stop().await;
}

#[tokio::test]
async fn a_long_poll_wakes_on_a_produce_from_another_connection() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let reader = partition(&client, "facts", 0).await;
    let writer = partition(&client, "facts", 0).await;

    let started = Instant::now();
    let writing = async {
        sleep(POLL_BEGUN).await;
        patiently(writer.produce(vec![record("news")], Compression::NoCompression)).await.unwrap();
    };
    let (polled, ()) = tokio::join!(patiently(reader.fetch_records(0, FETCH_BYTES, 15_000)), writing);
    let (found, end) = polled.unwrap();

    assert_eq!((values(&found), end), (vec!["news".to_owned()], 1));
    assert!(started.elapsed() < Duration::from_secs(8), "woke after {:?}", started.elapsed());
    broker.stop().await;
}

#[tokio::test]
async fn an_empty_long_poll_ends_after_its_wait() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let partition = partition(&client, "facts", 0).await;

    let started = Instant::now();
    let (found, end) = patiently(partition.fetch_records(0, FETCH_BYTES, 400)).await.unwrap();

    assert_eq!((found.len(), end), (0, 0));
    assert!(started.elapsed() >= Duration::from_millis(400), "answered after {:?}", started.elapsed());
    broker.stop().await;
}

#[tokio::test]
async fn shutdown_answers_long_polls() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let partition = partition(&client, "facts", 0).await;

    let stopping = async {
        sleep(POLL_BEGUN).await;
        broker.stop().await;
    };
    let (polled, ()) = tokio::join!(patiently(partition.fetch_records(0, FETCH_BYTES, 60_000)), stopping);

    let (found, end) = polled.expect("an empty answer instead of a broken connection");
    assert_eq!((found.len(), end), (0, 0));
}

#[tokio::test]
async fn a_batch_larger_than_the_limit_is_still_delivered_whole() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let partition = partition(&client, "facts", 0).await;
    for _ in 0..3 {
        patiently(partition.produce(vec![record(vec![7; 100_000])], Compression::NoCompression)).await.unwrap();
    }

    let (small, _) = patiently(partition.fetch_records(1, 1..1_000, 0)).await.unwrap();
    let (two, _) = patiently(partition.fetch_records(0, 1..250_000, 0)).await.unwrap();

    assert_eq!(small.iter().map(|record| record.offset).collect::<Vec<_>>(), [1]);
    assert_eq!(two.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 1]);
    broker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = client(broker.addr).await;
    create(&client, "facts", 1).await;
    let partition = partition(&client, "facts", 0).await;
    patiently(partition.produce(vec![record("one")], Compression::NoCompression)).await.unwrap();

    let beyond = patiently(partition.fetch_records(2, FETCH_BYTES, 5_000)).await;
    let before = patiently(partition.fetch_records(-1, FETCH_BYTES, 5_000)).await;
    let large = patiently(partition.produce(vec![record(vec![7; 1_100_000])], Compression::NoCompression)).await;
    let unknown = patiently(client.partition_client("fiction", 0, UnknownTopicHandling::Error)).await;

    assert_eq!(protocol_error(beyond), ProtocolError::OffsetOutOfRange);
    assert_eq!(protocol_error(before), ProtocolError::OffsetOutOfRange);
    assert_eq!(protocol_error(large), ProtocolError::MessageTooLarge);
    assert_eq!(protocol_error(unknown), ProtocolError::UnknownTopicOrPartition);
    assert_eq!(patiently(client.list_topics()).await.unwrap().len(), 1, "asking must not create a topic");
    broker.stop().await;
}

#[tokio::test]
async fn concurrent_producers_never_share_an_offset() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;
    let client = Arc::new(client(broker.addr).await);
    create(&client, "facts", 1).await;

    let mut producers = JoinSet::new();
    for producer in 0..8 {
        let client = Arc::clone(&client);
        producers.spawn(async move {
            let partition = partition(&client, "facts", 0).await;
            let mut sent = BTreeMap::new();
            for n in 0..25 {
                let value = format!("{producer}/{n}");
                let offsets = partition.produce(vec![record(value.clone())], Compression::NoCompression);
                sent.insert(patiently(offsets).await.unwrap()[0], value);
            }
            sent
        });
    }
    let sent: BTreeMap<i64, String> = producers.join_all().await.into_iter().flatten().collect();

    assert_eq!(sent.len(), 200);
    let found = fetch_all(&partition(&client, "facts", 0).await).await;
    assert!(values(&found).iter().eq(sent.values()));
    broker.stop().await;
}

fn protocol_error<T>(outcome: Result<T, Error>) -> ProtocolError {
    let refusal = outcome.err().expect("a refusal");
    let Error::ServerError { protocol_error, .. } = refusal else { panic!("not a refusal by the broker: {refusal}") };
    protocol_error
}
