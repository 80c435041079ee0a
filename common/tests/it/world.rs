//! One service that tells facts and takes in its own, so that relay, log and inbox meet; a handler and a source that tests
//! can make fail, and what they look at afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::bus::{Bus, Incoming, Outgoing};
use common::db::Db;
use common::fact::{Fact, NewFact};
use common::inbox::{Consumer, ConsumerSettings, FactHandler, FactSource, HandleError, HeadsTold};
use common::messaging::{self, Intake, Settings};
use common::outbox::{Listing, Outbox, partition_of};
use common::page;
use common::proto::common::v1::FactRecord;
use common::runtime::{Shutdown, Tasks};
use common::tables::{self, ADD_LEASE_OWNERS, ORDER_UNPUBLISHED, PARTITIONS};
use common::telemetry;
use common::testing::TestDb;
use sea_orm::{DatabaseTransaction, QueryResult, Value};
use sea_orm_migration::{MigrationTrait, SchemaManager};
use tokio::task::JoinSet;
use uuid::Uuid;

pub const TOPIC: &str = "eventix.test.v1";
pub const KIND: &str = "eventix.test.v1.Happened";
/// Facts with this payload can never be handled.
pub const POISON: &str = "poison";
/// Facts with this payload cannot be handled while the handler is sick.
pub const DELICATE: &str = "delicate";
/// Short, so that tests see leases come and go.
const LEASE: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(40);

/// Polls until there is something, or fails saying what was missing.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn create_tables(db: &Db) {
    let manager = SchemaManager::new(db.writer());
    tables::create_shared(&manager).await.unwrap();
    ADD_LEASE_OWNERS.up(&manager).await.unwrap();
    ORDER_UNPUBLISHED.up(&manager).await.unwrap();
    let effects = "CREATE TABLE effects (position {identity}, fact_id uuid NOT NULL, aggregate_id uuid NOT NULL,
        sequence bigint NOT NULL, trace_id text NOT NULL)";
    tables::run(&manager, &[effects]).await.unwrap();
}

pub fn fact(aggregate_id: Uuid, sequence: i64, data: &str) -> NewFact {
    NewFact { aggregate_id, sequence, kind: KIND.into(), data: data.as_bytes().to_vec().into() }
}

/// A new aggregate whose facts go to a partition.
pub fn aggregate_in(partition: i32) -> Uuid {
    std::iter::repeat_with(Uuid::now_v7).find(|id| partition_of(*id) == partition).unwrap()
}

pub fn outgoing(record: &FactRecord) -> Outgoing {
    let headers: BTreeMap<_, _> = record.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
    Outgoing { key: headers["ce_subject"].clone().into_bytes(), value: record.value.to_vec(), headers }
}

/// Writes a row per fact, then fails if it has to: what it wrote must be gone.
pub struct Effects {
    db: Db,
    pub sick: AtomicBool,
    pub calls: AtomicUsize,
}

#[async_trait]
impl FactHandler for Effects {
    async fn handle(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let sql = "INSERT INTO effects (fact_id, aggregate_id, sequence, trace_id) VALUES ($1, $2, $3, $4)";
        let trace_id = telemetry::trace_id().unwrap_or_default();
        let values = [fact.id.into(), fact.aggregate_id.into(), fact.sequence.into(), trace_id.into()];
        self.db.execute(transaction, sql, values).await?;
        if fact.kind != KIND {
            return Err(HandleError::unknown_kind(fact));
        }
        if fact.data == POISON.as_bytes() {
            return Err(HandleError::Permanent(anyhow::anyhow!("this can never be")));
        }
        if fact.data == DELICATE.as_bytes() && self.sick.load(Ordering::SeqCst) {
            return Err(HandleError::Transient(anyhow::anyhow!("not today")));
        }
        Ok(())
    }

    fn committed(&self) {}
}

/// The producer's `ListFacts`, without a wire.
pub struct Source {
    outbox: Outbox,
    pub down: AtomicBool,
    pub asked: AtomicUsize,
    pub asked_for: Mutex<Vec<Uuid>>,
}

impl Source {
    fn answers(&self) -> anyhow::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        anyhow::ensure!(!self.down.load(Ordering::SeqCst), "the producer is down");
        Ok(())
    }
}

#[async_trait]
impl FactSource for Source {
    async fn of_aggregate(&self, aggregate: Uuid, after: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        self.answers()?;
        self.asked_for.lock().unwrap().push(aggregate);
        let listed = self.outbox.list(Listing::Aggregate(aggregate, after), 3).await?;
        Ok((listed.records, listed.has_more))
    }

    async fn after_position(&self, position: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        self.answers()?;
        let listed = self.outbox.list(Listing::From(position), 3).await?;
        Ok((listed.records, listed.last_position, listed.has_more))
    }

    async fn heads(&self, cursor: &str, settled_for: Duration) -> anyhow::Result<HeadsTold> {
        anyhow::ensure!(!self.down.load(Ordering::SeqCst), "the producer is down");
        let page = self.outbox.heads(page::key(cursor), settled_for).await?;
        Ok(HeadsTold { heads: page.heads, cursor: page::token(&page.next), has_more: page.has_more })
    }
}

pub struct World {
    pub db: TestDb,
    pub bus: Bus,
    pub outbox: Outbox,
    pub effects: Arc<Effects>,
    pub source: Arc<Source>,
    pub patience: Duration,
    pub waiting: Duration,
    topic: &'static str,
    running: Option<Running>,
}

struct Running {
    consumer: Arc<Consumer>,
    shutdown: Shutdown,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl World {
    /// Tables and topic are there; nothing flows until [`World::run`].
    pub async fn new(db: TestDb, broker: SocketAddr) -> Self {
        Self::on(db, &broker.to_string(), TOPIC).await
    }

    /// The same on brokers that several tests share, each with a topic of its own.
    pub async fn on(db: TestDb, brokers: &str, topic: &'static str) -> Self {
        Self::over(db, Bus::new(brokers), topic).await
    }

    /// The same over a bus that meets its brokers in its own way.
    pub async fn over(db: TestDb, bus: Bus, topic: &'static str) -> Self {
        create_tables(&db).await;
        let outbox = Outbox::new(Db::clone(&db), "tester", topic);
        let effects = Effects { db: Db::clone(&db), sick: AtomicBool::new(false), calls: AtomicUsize::new(0) };
        let (down, asked, asked_for) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::default());
        let source = Source { outbox: outbox.clone(), down, asked, asked_for };
        bus.ensure_topic(topic, PARTITIONS).await.unwrap();
        let (effects, source) = (Arc::new(effects), Arc::new(source));
        let (patience, waiting) = (Duration::from_secs(60), Duration::from_secs(60));
        Self { db, bus, outbox, effects, source, patience, waiting, topic, running: None }
    }

    /// Starts relay, consumer, leases and catching up, as services do.
    pub fn run(&mut self) {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let intake = Intake {
            producer: "tester",
            topic: self.topic,
            handler: self.effects.clone(),
            source: self.source.clone(),
        };
        let settings = Settings {
            bus: self.bus.clone(),
            owner: "this process".into(),
            lease: LEASE,
            consumer: ConsumerSettings {
                patience: self.patience,
                waiting: self.waiting,
                ..ConsumerSettings::default()
            },
        };
        let consumers = messaging::start(&mut tasks, &self.db, &self.outbox, "tester", vec![intake], settings);
        let mut running = JoinSet::new();
        running.spawn(tasks.run(Duration::from_secs(5)));
        self.running = Some(Running { consumer: consumers[0].clone(), shutdown, tasks: running });
    }

    /// Stops everything, cleanly.
    pub async fn halt(&mut self) {
        let mut running = self.running.take().expect("a running world");
        running.shutdown.cancel();
        running.tasks.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Waits until it stops by itself, and tells why.
    pub async fn failure(&mut self) -> anyhow::Error {
        let mut running = self.running.take().expect("a running world");
        running.tasks.join_next().await.unwrap().unwrap().unwrap_err()
    }

    pub fn consumer(&self) -> &Consumer {
        &self.running.as_ref().expect("a running world").consumer
    }

    /// Facts that become true now.
    pub async fn tell(&self, facts: &[NewFact]) {
        let transaction = self.db.begin().await.unwrap();
        self.outbox.append(&transaction, facts).await.unwrap();
        transaction.commit().await.unwrap();
        self.outbox.wake();
    }

    /// Facts that the relay leaves alone; the producer knows them, and tests put them on the log by hand or not at all.
    pub async fn tell_silently(&self, facts: &[NewFact]) -> Vec<Outgoing> {
        let transaction = self.db.begin().await.unwrap();
        self.outbox.append(&transaction, facts).await.unwrap();
        let sql = "UPDATE outbox SET published_at = occurred_at WHERE published_at IS NULL";
        self.db.execute(&transaction, sql, []).await.unwrap();
        transaction.commit().await.unwrap();
        let mut told = Vec::new();
        for fact in facts {
            let listed = self.outbox.list(Listing::Aggregate(fact.aggregate_id, fact.sequence - 1), 1).await.unwrap();
            told.push(outgoing(&listed.records[0]));
        }
        told
    }

    /// Puts records on the log by hand.
    pub async fn produce(&self, partition: i32, records: &[Outgoing]) {
        self.bus.producer(self.topic).produce(partition, records.to_vec()).await.unwrap();
    }

    /// What stands in a partition of the log.
    pub async fn log(&self, partition: i32) -> Vec<Incoming> {
        let log = self.bus.open(self.topic, partition).await.unwrap();
        let (mut next, end) = log.range().await.unwrap();
        let mut found = Vec::new();
        while next < end {
            found.extend(log.fetch(next, Duration::from_millis(100)).await.unwrap());
            next = found.last().map_or(next, |r: &Incoming| r.offset + 1);
        }
        found
    }

    /// Waits until everything told is on the log and everything on the log was taken.
    pub async fn read_to_end(&self) {
        eventually("the outbox is published", async || (self.outbox.backlog().await.unwrap().0 == 0).then_some(()))
            .await;
        for partition in 0..PARTITIONS {
            let log = self.bus.open(self.topic, partition).await.unwrap();
            let (_, end) = log.range().await.unwrap();
            eventually("the log is read to its end", async || {
                let next = self.offset(partition).await.map_or(0, |o| o.next);
                (next >= end).then_some(())
            })
            .await;
        }
    }

    /// Sequences of an aggregate that took effect, in the order in which they did.
    pub async fn effects_of(&self, aggregate: Uuid) -> Vec<i64> {
        let sql = "SELECT sequence FROM effects WHERE aggregate_id = $1 ORDER BY position";
        let rows = self.rows(sql, vec![aggregate.into()]).await;
        rows.iter().map(|row| row.try_get("", "sequence").unwrap()).collect()
    }

    /// Waits until exactly these took effect, in this order.
    pub async fn until_effects(&self, aggregate: Uuid, sequences: &[i64]) {
        let what = format!("effects {sequences:?}");
        eventually(&what, async || (self.effects_of(aggregate).await == sequences).then_some(())).await;
    }

    pub async fn rows(&self, sql: &str, values: Vec<Value>) -> Vec<QueryResult> {
        self.db.query(self.db.reader(), sql, values).await.unwrap()
    }

    pub async fn count(&self, of: &str) -> i64 {
        let rows = self.rows(&format!("SELECT CAST(count(*) AS bigint) AS n FROM {of}"), vec![]).await;
        rows[0].try_get("", "n").unwrap()
    }

    /// Waits until so many rows are there.
    pub async fn until_count(&self, of: &str, wanted: i64) {
        eventually(&format!("{wanted} of {of}"), async || (self.count(of).await == wanted).then_some(())).await;
    }

    pub async fn offset(&self, partition: i32) -> Option<Offset> {
        let sql = "SELECT next_offset, incarnation, recovering FROM consumer_offsets WHERE log_partition = $1";
        let rows = self.rows(sql, vec![partition.into()]).await;
        let row = rows.first()?;
        Some(Offset {
            next: row.try_get("", "next_offset").unwrap(),
            incarnation: row.try_get("", "incarnation").unwrap(),
            recovering: row.try_get("", "recovering").unwrap(),
        })
    }

    pub async fn execute(&self, sql: &str, values: Vec<Value>) -> u64 {
        self.db.execute(self.db.writer(), sql, values).await.unwrap()
    }
}

/// Where the consumer stands in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    pub next: i64,
    pub incarnation: i64,
    pub recovering: bool,
}
