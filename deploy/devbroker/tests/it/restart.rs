//! What a restart keeps, and what keeps a broker from starting.

use devbroker::Config;
use rskafka::client::partition::{Compression, OffsetAt};
use tempfile::TempDir;

use crate::support::{Broker, client, create, fetch_all, partition, patiently, record, values};

#[tokio::test]
async fn a_restart_keeps_records_and_offsets() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("log with spaces?.db");
    let broker = Broker::start(&data).await;
    let before = client(broker.addr).await;
    create(&before, "facts", 3).await;
    let sent = ["one", "two"].map(record).to_vec();
    patiently(partition(&before, "facts", 2).await.produce(sent, Compression::NoCompression)).await.unwrap();
    broker.stop().await;

    let broker = Broker::start(&data).await;

    let after = client(broker.addr).await;
    let partition = partition(&after, "facts", 2).await;
    let offsets = patiently(partition.produce(vec![record("three")], Compression::NoCompression)).await.unwrap();
    assert_eq!(offsets, [2]);
    assert_eq!(values(&fetch_all(&partition).await), ["one", "two", "three"]);
    assert_eq!(patiently(after.list_topics()).await.unwrap()[0].partitions.len(), 3);
    broker.stop().await;
}

#[tokio::test]
async fn a_restart_without_its_data_starts_at_zero() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("first")).await;
    let before = client(broker.addr).await;
    create(&before, "facts", 1).await;
    let produced = partition(&before, "facts", 0).await;
    patiently(produced.produce(vec![record("lost")], Compression::NoCompression)).await.unwrap();
    broker.stop().await;

    let broker = Broker::start(&dir.path().join("second")).await;

    let after = client(broker.addr).await;
    assert!(patiently(after.list_topics()).await.unwrap().is_empty());
    create(&after, "facts", 1).await;
    let partition = partition(&after, "facts", 0).await;
    assert_eq!(patiently(partition.get_offset(OffsetAt::Latest)).await.unwrap(), 0);
    broker.stop().await;
}

#[tokio::test]
async fn one_file_serves_one_broker() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("log");
    let broker = Broker::start(&data).await;

    let second = Config { listen: "127.0.0.1:0".parse().unwrap(), data: data.clone(), advertised: None };
    let refused = devbroker::serve(second, std::future::pending()).await.err().expect("a refusal");

    assert!(format!("{refused:#}").contains("another broker uses"), "{refused:#}");
    broker.stop().await;
    Broker::start(&data).await.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;

    let second = Config { listen: broker.addr, data: dir.path().join("other"), advertised: None };
    let refused = devbroker::serve(second, std::future::pending()).await.err().expect("a refusal");

    assert!(format!("{refused:#}").contains(&broker.addr.to_string()), "{refused:#}");
    broker.stop().await;
}

#[tokio::test]
async fn only_loopback_is_served() {
    let dir = TempDir::new().unwrap();

    let open = Config { listen: "0.0.0.0:0".parse().unwrap(), data: dir.path().join("log"), advertised: None };
    let refused = devbroker::serve(open, std::future::pending()).await.err().expect("a refusal");

    assert!(refused.to_string().contains("loopback"), "{refused:#}");
}
