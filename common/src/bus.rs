//! The event log: one thin module over rskafka, which has no call timeouts and whose retries may duplicate a record.
//! Every call here is bounded; every failure drops the connection it came from.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rskafka::BackoffConfig;
use rskafka::client::error::{Error as KafkaError, ProtocolError};
use rskafka::client::partition::{Compression, OffsetAt, PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use rskafka::record::Record;
use tokio::sync::OnceCell;

use crate::settings::KafkaSettings;

mod wire;

use wire::Wire;

/// Time one call may take, connecting and retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a producer's call is tried again: less than [`CALL_TIMEOUT`], so that the last failure is told, not a timeout.
const RETRY_DEADLINE: Duration = Duration::from_secs(8);
/// A client that has not succeeded for this long is replaced.
const CLIENT_STALE_AFTER: Duration = Duration::from_secs(15);
/// Bytes one fetch may bring.
const FETCH_BYTES_MAX: i32 = 4 * 1024 * 1024;
/// Pause between looks for a topic that was created but is not known everywhere yet.
const TOPIC_PAUSE: Duration = Duration::from_millis(100);

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

impl BusError {
    /// Whether the topic is not there: a broker that lost its data, or one that has not heard of it yet.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(self, Self::Kafka(_, error) if is(error, ProtocolError::UnknownTopicOrPartition))
    }
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
#[derive(Clone)]
pub struct Bus {
    brokers: Vec<String>,
    wire: Wire,
}

impl Bus {
    /// A bus over a comma-separated list of `host:port`, without TLS or password; connects when used.
    pub fn new(brokers: &str) -> Self {
        Self::over(brokers, Wire::plain())
    }

    /// A bus that meets its brokers as the settings say; connects when used.
    ///
    /// # Errors
    /// The file of certificates cannot be used.
    pub fn with(brokers: &str, settings: &KafkaSettings) -> anyhow::Result<Self> {
        Ok(Self::over(brokers, Wire::of(settings)?))
    }

    fn over(brokers: &str, wire: Wire) -> Self {
        Self { brokers: brokers.split(',').map(|b| b.trim().to_owned()).collect(), wire }
    }

    /// A client that tries its calls again for as long as `retry`.
    async fn client(&self, retry: Duration) -> Result<Client, BusError> {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(1),
            base: 2.0,
            deadline: Some(retry),
        };
        let builder = ClientBuilder::new(self.brokers.clone()).client_id("eventix").backoff_config(backoff);
        self.wire.apply(builder).build().await.map_err(failed("connect"))
    }

    /// Creates a topic unless it exists, and checks its number of partitions.
    ///
    /// # Errors
    /// [`BusError::Partitions`] when it exists with another number: order per aggregate would break.
    pub async fn ensure_topic(&self, topic: &str, partitions: i32) -> Result<(), BusError> {
        let found = within("ensure topic", CALL_TIMEOUT, async {
            let client = self.client(RETRY_DEADLINE).await?;
            if let Some(found) = partitions_of(&client, topic).await? {
                return Ok(found);
            }
            self.create_topic(&client, topic, partitions).await?;
            loop {
                if let Some(found) = partitions_of(&client, topic).await? {
                    return Ok(found);
                }
                tokio::time::sleep(TOPIC_PAUSE).await;
            }
        })
        .await?;
        let wanted = usize::try_from(partitions).unwrap_or(0);
        if found == wanted { Ok(()) } else { Err(BusError::Partitions { topic: topic.to_owned(), found, wanted }) }
    }

    async fn create_topic(&self, client: &Client, topic: &str, partitions: i32) -> Result<(), BusError> {
        let controller = client.controller_client().map_err(failed("controller"))?;
        let timeout_ms = i32::try_from(CALL_TIMEOUT.as_millis()).unwrap_or(i32::MAX);
        match controller.create_topic(topic, partitions, self.wire.replication, timeout_ms).await {
            Err(error) if is(&error, ProtocolError::TopicAlreadyExists) => Ok(()),
            other => other.map_err(failed("create topic")),
        }
    }

    /// A producer to one topic; connects when used.
    pub fn producer(&self, topic: &str) -> Producer {
        Producer { bus: self.clone(), topic: topic.to_owned(), state: Mutex::new(ProducerState::fresh()) }
    }

    /// Opens one partition for reading, on a connection of its own: brokers answer a connection's requests in order, and a
    /// long poll would hold up the others. It never reconnects by itself: what answers then may be another log, so the
    /// reader has to open again and compare.
    pub async fn open(&self, topic: &str, partition: i32) -> Result<PartitionLog, BusError> {
        within("open partition", CALL_TIMEOUT, async {
            let client = self.client(Duration::ZERO).await?;
            let client = open_partition(&client, topic, partition).await?;
            Ok(PartitionLog { client, end: AtomicI64::new(0) })
        })
        .await
    }
}

async fn partitions_of(client: &Client, topic: &str) -> Result<Option<usize>, BusError> {
    let topics = client.list_topics().await.map_err(failed("list topics"))?;
    let found = topics.into_iter().find(|t| t.name == topic).map(|t| t.partitions.len());
    Ok(found.filter(|partitions| *partitions > 0))
}

/// Puts records on one topic.
pub struct Producer {
    bus: Bus,
    topic: String,
    state: Mutex<ProducerState>,
}

struct ProducerState {
    client: Arc<OnceCell<Client>>,
    partitions: HashMap<i32, Arc<PartitionClient>>,
    last_success: Instant,
}

impl ProducerState {
    fn fresh() -> Self {
        Self { client: Arc::default(), partitions: HashMap::new(), last_success: Instant::now() }
    }
}

impl Producer {
    /// Appends records to a partition, in order, and returns their offsets once the broker has acknowledged them.
    /// After an error any of them may still be there.
    pub async fn produce(&self, partition: i32, records: Vec<Outgoing>) -> Result<Vec<i64>, BusError> {
        let records = records.into_iter().map(to_kafka).collect();
        let produced = within("produce", CALL_TIMEOUT, async {
            let client = self.partition(partition).await?;
            client.produce(records, Compression::NoCompression).await.map_err(failed("produce"))
        })
        .await;
        let mut state = self.state();
        match &produced {
            Ok(_) => state.last_success = Instant::now(),
            Err(_) if state.last_success.elapsed() > CLIENT_STALE_AFTER => *state = ProducerState::fresh(),
            Err(_) => {
                // Not even opened: what the client believes about the brokers may be at fault.
                if state.partitions.remove(&partition).is_none() {
                    state.client = Arc::default();
                }
            }
        }
        produced
    }

    async fn partition(&self, partition: i32) -> Result<Arc<PartitionClient>, BusError> {
        let connecting = {
            let state = self.state();
            if let Some(client) = state.partitions.get(&partition) {
                return Ok(client.clone());
            }
            state.client.clone()
        };
        let client = connecting.get_or_try_init(|| self.bus.client(RETRY_DEADLINE)).await?;
        let opened = Arc::new(open_partition(client, &self.topic, partition).await?);
        self.state().partitions.insert(partition, opened.clone());
        Ok(opened)
    }

    fn state(&self) -> MutexGuard<'_, ProducerState> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

/// One partition, open for reading.
pub struct PartitionLog {
    client: PartitionClient,
    end: AtomicI64,
}

impl PartitionLog {
    /// Records from `offset` on, waiting up to `max_wait` for the first.
    ///
    /// # Errors
    /// [`BusError::OutOfRange`] from brokers that say so; some answer with nothing instead.
    pub async fn fetch(&self, offset: i64, max_wait: Duration) -> Result<Vec<Incoming>, BusError> {
        let max_wait_ms = i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX);
        let fetched = within("fetch", CALL_TIMEOUT + max_wait, async {
            match self.client.fetch_records(offset, 1..FETCH_BYTES_MAX, max_wait_ms).await {
                Err(error) if is(&error, ProtocolError::OffsetOutOfRange) => Err(BusError::OutOfRange(offset)),
                other => other.map_err(failed("fetch")),
            }
        });
        let (records, end) = fetched.await?;
        self.end.store(end, Ordering::Relaxed);
        Ok(records.into_iter().map(|r| from_kafka(r.offset, r.record)).collect())
    }

    /// The offset the next record will get, as the last fetch told.
    pub fn end(&self) -> i64 {
        self.end.load(Ordering::Relaxed)
    }

    /// The first offset kept, and the one the next record will get.
    pub async fn range(&self) -> Result<(i64, i64), BusError> {
        within("offsets", CALL_TIMEOUT, async {
            let earliest = self.client.get_offset(OffsetAt::Earliest).await.map_err(failed("earliest offset"))?;
            let latest = self.client.get_offset(OffsetAt::Latest).await.map_err(failed("latest offset"))?;
            Ok((earliest, latest))
        })
        .await
    }
}

async fn open_partition(client: &Client, topic: &str, partition: i32) -> Result<PartitionClient, BusError> {
    let opening = client.partition_client(topic, partition, UnknownTopicHandling::Error);
    opening.await.map_err(failed("open partition"))
}

async fn within<T>(
    what: &'static str,
    limit: Duration,
    call: impl Future<Output = Result<T, BusError>>,
) -> Result<T, BusError> {
    tokio::time::timeout(limit, call).await.unwrap_or(Err(BusError::Timeout(what)))
}

fn failed(what: &'static str) -> impl Fn(KafkaError) -> BusError {
    move |error| BusError::Kafka(what, Box::new(error))
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
