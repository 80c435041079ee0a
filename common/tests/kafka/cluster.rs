//! The brokers that the run provides: where they are, which process each node is, and topics of a test's own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::bus::Bus;
use common::settings::KafkaSettings;
use rskafka::client::ClientBuilder;
use rskafka::client::partition::UnknownTopicHandling;
use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use crate::contract::BrokerUnderTest;
use crate::metadata;
use crate::world::eventually;

/// `host:port` of every broker, separated by commas. Any Kafka or Redpanda will do for what does not stop its nodes.
const BROKERS: &str = "EVENTIX_TEST_KAFKA";
/// A folder with a file `N/pid` for each node N of a cluster that this run may kill and freeze.
const NODES: &str = "EVENTIX_TEST_KAFKA_NODES";

#[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
pub fn given(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A running cluster, shared by all tests of the run.
pub struct Cluster {
    pub brokers: String,
    run: Uuid,
}

impl Cluster {
    /// Waits until every broker is known to every other.
    pub async fn met() -> Self {
        let brokers =
            given(BROKERS).expect("EVENTIX_TEST_KAFKA must name brokers: run the tests through ./tests/kafka");
        let cluster = Self { brokers, run: Uuid::now_v7() };
        let addresses: Vec<&str> = cluster.brokers.split(',').collect();
        for address in &addresses {
            eventually("the whole cluster is there", async || {
                let known = metadata::ask(address, None).await?.brokers.len();
                (known >= addresses.len()).then_some(())
            })
            .await;
        }
        cluster
    }

    /// A topic's name for those who keep it for good.
    pub fn lasting_topic(&self, name: &str) -> &'static str {
        self.topic(name).leak()
    }

    /// A topic with a copy on each of three nodes; without two of them nothing is acknowledged.
    pub async fn make_replicated(&self, topic: &str, partitions: i32) {
        let settings = KafkaSettings { replication: 3, ..KafkaSettings::default() };
        Bus::with(&self.brokers, &settings).unwrap().ensure_topic(topic, partitions).await.unwrap();
        for partition in 0..partitions {
            self.until_in_sync(topic, partition).await;
        }
    }

    /// Deletes a partition's records before an offset, as retention does.
    pub async fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let client = ClientBuilder::new(self.brokers.split(',').map(str::to_owned).collect()).build().await.unwrap();
        let client = client.partition_client(topic, partition, UnknownTopicHandling::Error).await.unwrap();
        client.delete_records(offset, 10_000).await.unwrap();
    }

    /// Which node leads a partition; any broker may answer, and one that lags tells of the past.
    pub async fn leader(&self, topic: &str, partition: i32) -> i32 {
        eventually("a leader", async || Some(self.state(topic, partition).await?.leader).filter(|node| *node > 0)).await
    }

    /// Waits for another leader than this one.
    pub async fn until_led_by_another(&self, topic: &str, partition: i32, old: i32) -> i32 {
        eventually("another leader", async || {
            Some(self.state(topic, partition).await?.leader).filter(|node| *node > 0 && *node != old)
        })
        .await
    }

    /// Waits until all three copies are complete.
    pub async fn until_in_sync(&self, topic: &str, partition: i32) {
        eventually("three copies in sync", async || (self.state(topic, partition).await?.in_sync == 3).then_some(()))
            .await;
    }

    async fn state(&self, topic: &str, partition: i32) -> Option<metadata::Partition> {
        for address in self.brokers.split(',') {
            if let Some(found) = metadata::partition(address, topic, partition).await {
                return Some(found);
            }
        }
        None
    }

    /// SIGKILL; the run starts the node again, but late enough for another to lead meanwhile.
    pub fn kill(&self, node: i32) {
        kill_process(self.process(node), Signal::KILL).unwrap();
    }

    /// SIGSTOP.
    pub fn freeze_node(&self, node: i32) {
        kill_process(self.process(node), Signal::STOP).unwrap();
    }

    /// SIGCONT.
    pub fn thaw_node(&self, node: i32) {
        kill_process(self.process(node), Signal::CONT).unwrap();
    }

    fn process(&self, node: i32) -> Pid {
        let folder =
            given(NODES).expect("EVENTIX_TEST_KAFKA_NODES must name the nodes: run the tests through ./tests/kafka");
        let text = fs::read_to_string(PathBuf::from(folder).join(node.to_string()).join("pid")).unwrap();
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }

    fn nodes(&self) -> std::ops::RangeInclusive<i32> {
        1..=i32::try_from(self.brokers.split(',').count()).unwrap()
    }
}

impl BrokerUnderTest for Cluster {
    fn bus(&self) -> Bus {
        Bus::new(&self.brokers)
    }

    fn topic(&self, name: &str) -> String {
        format!("{name}-{}", self.run)
    }

    fn fetch_wait(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn says_out_of_range(&self) -> bool {
        true
    }

    fn freeze(&self) {
        self.nodes().for_each(|node| self.freeze_node(node));
    }

    fn thaw(&self) {
        self.nodes().for_each(|node| self.thaw_node(node));
    }
}
