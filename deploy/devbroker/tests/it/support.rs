//! A broker in this process, one as a process of its own, and rskafka clients that give up in time.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use devbroker::{Config, Running};
use rskafka::BackoffConfig;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::{Record, RecordAndOffset};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// No single call takes longer on a healthy broker, however busy the machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes asked for by a plain fetch.
pub const FETCH_BYTES: std::ops::Range<i32> = 1..1_000_000;

/// A broker in this process with its own data file.
pub struct Broker {
    pub addr: SocketAddr,
    running: Running,
    stop: oneshot::Sender<()>,
}

impl Broker {
    pub async fn start(data: &Path) -> Self {
        let (stop, stopped) = oneshot::channel();
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), data: data.to_owned(), advertised: None };
        let running = devbroker::serve(config, async { drop(stopped.await) }).await.unwrap();
        Self { addr: running.addr, running, stop }
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        patiently(self.running.stopped()).await.unwrap();
    }
}

/// The broker's binary as a process of its own.
pub struct Process {
    pub addr: SocketAddr,
    child: Child,
}

impl Process {
    pub async fn start(data: &Path, listen: SocketAddr) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_eventix-devbroker"))
            .args(["--listen", &listen.to_string()])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = patiently(lines.next_line()).await.unwrap().expect("a line with the address");
        let addr = line.strip_prefix("devbroker listening on ").expect("the promised line").parse().unwrap();
        Self { addr, child }
    }

    /// SIGKILL, and wait for the end.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

pub async fn patiently<T>(call: impl Future<Output = T>) -> T {
    timeout(PATIENCE, call).await.expect("an answer in time")
}

/// A client that never tries twice, so that every call is one request.
pub async fn client(addr: SocketAddr) -> Client {
    let once = BackoffConfig { deadline: Some(Duration::ZERO), ..BackoffConfig::default() };
    patiently(ClientBuilder::new(vec![addr.to_string()]).backoff_config(once).build()).await.unwrap()
}

pub async fn create(client: &Client, topic: &str, partitions: i32) {
    let controller = client.controller_client().unwrap();
    patiently(controller.create_topic(topic, partitions, 1, 5_000)).await.unwrap();
}

pub async fn partition(client: &Client, topic: &str, partition: i32) -> PartitionClient {
    patiently(client.partition_client(topic, partition, UnknownTopicHandling::Error)).await.unwrap()
}

pub fn record(value: impl Into<Vec<u8>>) -> Record {
    Record { key: None, value: Some(value.into()), headers: Default::default(), timestamp: DateTime::<Utc>::UNIX_EPOCH }
}

/// Everything in a partition, in the order of its offsets.
pub async fn fetch_all(partition: &PartitionClient) -> Vec<RecordAndOffset> {
    let mut found: Vec<RecordAndOffset> = Vec::new();
    loop {
        let next = found.last().map_or(0, |last| last.offset + 1);
        let (records, end) = patiently(partition.fetch_records(next, FETCH_BYTES, 0)).await.unwrap();
        if next == end {
            return found;
        }
        assert_eq!(records.first().map(|record| record.offset), Some(next), "the log ends at {end}");
        found.extend(records);
    }
}

/// The values of `records` as text.
pub fn values(records: &[RecordAndOffset]) -> Vec<String> {
    let text = |record: &RecordAndOffset| String::from_utf8(record.record.value.clone().unwrap()).unwrap();
    records.iter().map(text).collect()
}
