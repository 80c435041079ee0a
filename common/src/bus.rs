//! The event log: one thin module over rskafka, which has no call timeouts and whose retries may duplicate a record.
//! Every call here is bounded; every failure drops the connection it came from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rskafka::BackoffConfig;
use rskafka::client::error::{Error as KafkaError, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use tokio::sync::Mutex;

/// Time one call may take, its retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that has not succeeded for this long is replaced.
const CLIENT_STALE_AFTER: Duration = Duration::from_secs(15);
/// Bytes one fetch may bring.
const FETCH_BYTES_MAX: i32 = 4 * 1024 * 1024;
/// Copies of each partition that a created topic asks for; brokers with more nodes have topics created beforehand.
const REPLICATION: i16 = 1;

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No answer in time.
    #[error("the broker did not answer {0} in time")]
    Timeout(&'static str),
    /// The broker or the connection to it refused.
    #[error("the broker failed at {0}")]
    Kafka(&'static str, #[source] Box<KafkaError>),
    /// The offset is not in the log (any more, or yet).
    #[error("offset {0} is out of the log's range")]
    OutOfRange(i64),
    /// A topic exists with another number of partitions.
    #[error("topic {topic} has {found} partitions instead of {wanted}")]
    Partitions {
        /// Which topic.
        topic: String,
        /// How many it has.
        found: usize,
        /// How many it must have.
        wanted: usize,
    },
}

/// A record to put on the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The aggregate id, so that brokers and tools see what belongs together.
    pub key: Vec<u8>,
    /// The encoded envelope.
    pub value: Vec<u8>,
    /// CloudEvents attributes and trace context.
    pub headers: BTreeMap<String, String>,
}

/// A record from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where it stands.
    pub offset: i64,
    /// Its key, when it has one.
    pub key: Option<Vec<u8>>,
    /// Its value; empty when it has none.
    pub value: Vec<u8>,
    /// Its headers, those that are UTF-8.
    pub headers: BTreeMap<String, String>,
}

/// Connects to the log.
#[derive(Debug, Clone)]
pub struct Bus {
    brokers: Vec<String>,
}

impl Bus {
    /// A bus over a comma-separated list of `host:port`; connects when used.
    pub fn new(brokers: &str) -> Self {
        Self { brokers: brokers.split(',').map(|b| b.trim().to_owned()).collect() }
    }

    async fn client(&self) -> Result<Client, BusError> {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
            deadline: Some(CALL_TIMEOUT),
        };
        let builder = ClientBuilder::new(self.brokers.clone()).client_id("eventix").backoff_config(backoff);
        bounded("connect", CALL_TIMEOUT, builder.build()).await
    }

    /// Creates a topic unless it exists, and checks its number of partitions.
    ///
    /// # Errors
    /// [`BusError::Partitions`] when it exists with another number: order per aggregate would break.
    pub async fn ensure_topic(&self, topic: &str, partitions: i32) -> Result<(), BusError> {
        let client = self.client().await?;
        let find = || async {
            let topics = bounded("list topics", CALL_TIMEOUT, client.list_topics()).await?;
            Ok::<_, BusError>(topics.into_iter().find(|t| t.name == topic).map(|t| t.partitions.len()))
        };
        if find().await?.is_none() {
            let controller = client.controller_client().map_err(|e| BusError::Kafka("controller", Box::new(e)))?;
            let timeout_ms = i32::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
            let created = controller.create_topic(topic, partitions, REPLICATION, timeout_ms);
            match bounded("create topic", CALL_TIMEOUT, created).await {
                Err(BusError::Kafka(_, error)) if is(&error, ProtocolError::TopicAlreadyExists) => {}
                other => other?,
            }
        }
        let wanted = usize::try_from(partitions).unwrap_or(0);
        match find().await? {
            Some(found) if found == wanted => Ok(()),
            found => Err(BusError::Partitions { topic: topic.to_owned(), found: found.unwrap_or(0), wanted }),
        }
    }

    /// A producer to one topic; connects when used.
    pub fn producer(&self, topic: &str) -> Producer {
        Producer { bus: self.clone(), topic: topic.to_owned(), state: Mutex::new(ProducerState::fresh()) }
    }

    /// Opens one partition for reading, on a connection of its own: brokers answer a connection's requests in order, and a
    /// long poll would hold up the others.
    pub async fn open(&self, topic: &str, partition: i32) -> Result<PartitionLog, BusError> {
        let client = self.client().await?;
        Ok(PartitionLog { client: partition_client(&client, topic, partition).await? })
    }
}

/// Puts records on one topic.
pub struct Producer {
    bus: Bus,
    topic: String,
    state: Mutex<ProducerState>,
}

struct ProducerState {
    client: Option<Arc<Client>>,
    partitions: HashMap<i32, Arc<PartitionClient>>,
    last_success: Instant,
}

impl ProducerState {
    fn fresh() -> Self {
        Self { client: None, partitions: HashMap::new(), last_success: Instant::now() }
    }
}

impl Producer {
    /// Appends records to a partition, in order, and returns their offsets once the broker has acknowledged them.
    /// After an error any of them may still be there.
    pub async fn produce(&self, partition: i32, records: Vec<Outgoing>) -> Result<Vec<i64>, BusError> {
        let client = self.partition(partition).await?;
        let records = records.into_iter().map(to_kafka).collect();
        let produced = bounded("produce", CALL_TIMEOUT, client.produce(records, Compression::NoCompression)).await;
        let mut state = self.state.lock().await;
        match &produced {
            Ok(_) => state.last_success = Instant::now(),
            Err(_) if state.last_success.elapsed() > CLIENT_STALE_AFTER => *state = ProducerState::fresh(),
            Err(_) => {
                state.partitions.remove(&partition);
            }
        }
        produced
    }

    async fn partition(&self, partition: i32) -> Result<Arc<PartitionClient>, BusError> {
        let mut state = self.state.lock().await;
        if let Some(client) = state.partitions.get(&partition) {
            return Ok(client.clone());
        }
        let client = match &state.client {
            Some(client) => client.clone(),
            None => Arc::new(self.bus.client().await?),
        };
        state.client = Some(client.clone());
        let opened = partition_client(&client, &self.topic, partition).await;
        if opened.is_err() {
            state.client = None;
        }
        let opened = Arc::new(opened?);
        state.partitions.insert(partition, opened.clone());
        Ok(opened)
    }
}

/// One partition, open for reading.
pub struct PartitionLog {
    client: PartitionClient,
}

impl PartitionLog {
    /// Records from `offset` on, waiting up to `max_wait` for the first.
    pub async fn fetch(&self, offset: i64, max_wait: Duration) -> Result<Vec<Incoming>, BusError> {
        let max_wait_ms = i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX);
        let fetched = self.client.fetch_records(offset, 1..FETCH_BYTES_MAX, max_wait_ms);
        match bounded("fetch", CALL_TIMEOUT + max_wait, fetched).await {
            Ok((records, _)) => Ok(records.into_iter().map(|r| from_kafka(r.offset, r.record)).collect()),
            Err(BusError::Kafka(_, error)) if is(&error, ProtocolError::OffsetOutOfRange) => {
                Err(BusError::OutOfRange(offset))
            }
            Err(other) => Err(other),
        }
    }

    /// The first offset kept, and the one the next record will get.
    pub async fn range(&self) -> Result<(i64, i64), BusError> {
        let earliest = bounded("earliest offset", CALL_TIMEOUT, self.client.get_offset(OffsetAt::Earliest)).await?;
        let latest = bounded("latest offset", CALL_TIMEOUT, self.client.get_offset(OffsetAt::Latest)).await?;
        Ok((earliest, latest))
    }
}

async fn partition_client(client: &Client, topic: &str, partition: i32) -> Result<PartitionClient, BusError> {
    let opening = client.partition_client(topic, partition, UnknownTopicHandling::Error);
    bounded("open partition", CALL_TIMEOUT, opening).await
}

async fn bounded<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, KafkaError>>,
) -> Result<T, BusError> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(BusError::Kafka(what, Box::new(error))),
        Err(_) => Err(BusError::Timeout(what)),
    }
}

fn is(error: &KafkaError, wanted: ProtocolError) -> bool {
    matches!(error, KafkaError::ServerError { protocol_error, .. } if *protocol_error == wanted)
}

#[expect(clippy::disallowed_methods, reason = "the record's own timestamp is the wall clock's; nothing decides by it")]
fn to_kafka(record: Outgoing) -> Record {
    Record {
        key: Some(record.key),
        value: Some(record.value),
        headers: record.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
        timestamp: chrono::Utc::now(),
    }
}

fn from_kafka(offset: i64, record: Record) -> Incoming {
    let text = |(name, value): (String, Vec<u8>)| Some((name, String::from_utf8(value).ok()?));
    Incoming {
        offset,
        key: record.key,
        value: record.value.unwrap_or_default(),
        headers: record.headers.into_iter().filter_map(text).collect(),
    }
}
