//! Facts in: effect, inbox row, new outbox rows and offset commit in one transaction, so each fact takes effect once.
//!
//! - `intake`: one fact through the inbox transaction, in order per aggregate
//! - `partition`: one partition's records, with the offsets and their log incarnation
//! - `catch_up`: parked facts, and asking the producer; `stuck`: when to try again; `missed`: what the log never brought
//! - `dead_letter`: records that need a person, and what was decided about them

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::bus::Bus;
use crate::db::Db;
use crate::fact::{Fact, FactError};
use crate::lease::Leases;
use crate::proto::common::v1::FactRecord;

mod catch_up;
mod dead_letter;
mod intake;
mod missed;
mod partition;
mod stuck;

pub use intake::Taken;
use missed::ReadToEnd;
use stuck::Stuck;

/// Aggregates looked up at once.
const AGGREGATES_MAX: usize = 200;

/// What a service does with the facts of others.
#[async_trait]
pub trait FactHandler: Send + Sync {
    /// Applies a fact inside the inbox transaction. A refusal of the domain is no error: record it and return `Ok`.
    async fn handle(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError>;

    /// Called after the commit, to wake what waits for new rows.
    fn committed(&self);
}

/// Why a fact could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Will not go away by itself: the fact becomes a dead letter.
    #[error("the fact cannot be handled")]
    Permanent(#[source] anyhow::Error),
    /// Try again.
    #[error("handling failed for now")]
    Transient(#[source] anyhow::Error),
}

impl HandleError {
    /// A fact of a kind this consumer has never heard of.
    pub fn unknown_kind(fact: &Fact) -> Self {
        Self::Permanent(anyhow::anyhow!("unknown fact type {}", fact.kind))
    }
}

impl From<DbErr> for HandleError {
    fn from(error: DbErr) -> Self {
        Self::Transient(error.into())
    }
}

impl From<FactError> for HandleError {
    fn from(error: FactError) -> Self {
        Self::Permanent(error.into())
    }
}

/// A producer that can be asked for its facts: its `ListFacts` RPC.
#[async_trait]
pub trait FactSource: Send + Sync {
    /// Facts of one aggregate after a sequence, in order; a page, and whether more follow.
    async fn of_aggregate(&self, aggregate: Uuid, after_sequence: i64) -> anyhow::Result<(Vec<FactRecord>, bool)>;

    /// All facts after a position, in order; a page, its last position, and whether more follow.
    async fn after_position(&self, position: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)>;

    /// How far aggregates' facts went that were published after a cursor and at least `settled_for` ago.
    async fn heads(&self, cursor: &str, settled_for: Duration) -> anyhow::Result<HeadsTold>;
}

/// A page of heads, as a producer tells it.
pub struct HeadsTold {
    /// Aggregates and their highest sequence.
    pub heads: Vec<(Uuid, i64)>,
    /// Where the next page begins.
    pub cursor: String,
    /// Whether more follow by now.
    pub has_more: bool,
}

/// How a consumer works; the defaults are production's.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    /// Longest wait of one fetch. Some brokers sleep instead of waking: a few milliseconds there.
    pub fetch_wait: Duration,
    /// How long a failing handler is tried again before its fact becomes a dead letter.
    pub patience: Duration,
    /// How long a published fact may be under way before it is looked for, and how often that is done.
    pub waiting: Duration,
}

impl Default for ConsumerSettings {
    fn default() -> Self {
        let (fetch_wait, waiting) = (Duration::from_secs(2), Duration::from_secs(30));
        Self { fetch_wait, patience: Duration::from_secs(300), waiting }
    }
}

/// One service's intake of another's facts.
pub struct Consumer {
    /// Who takes, for instance `booking`.
    pub name: &'static str,
    /// Who tells, for instance `payment`.
    pub producer: &'static str,
    /// On which topic.
    pub topic: &'static str,
    db: Db,
    bus: Bus,
    leases: Arc<Leases>,
    handler: Arc<dyn FactHandler>,
    source: Arc<dyn FactSource>,
    settings: ConsumerSettings,
    parked: Notify,
    asking: Stuck,
    handling: Stuck,
    read_to_end: ReadToEnd,
}

/// What a consumer is made of.
pub struct ConsumerParts {
    /// The consumer's own database.
    pub db: Db,
    /// Where the log is.
    pub bus: Bus,
    /// Leases that include this consumer's partitions, see [`lease_name`].
    pub leases: Arc<Leases>,
    /// What to do with the facts.
    pub handler: Arc<dyn FactHandler>,
    /// Whom to ask for missing ones.
    pub source: Arc<dyn FactSource>,
    /// How to work.
    pub settings: ConsumerSettings,
}

impl Consumer {
    /// A consumer of `producer`'s facts on `topic`.
    pub fn new(name: &'static str, producer: &'static str, topic: &'static str, parts: ConsumerParts) -> Arc<Self> {
        let ConsumerParts { db, bus, leases, handler, source, settings } = parts;
        Arc::new(Self {
            name,
            producer,
            topic,
            db,
            bus,
            leases,
            handler,
            source,
            settings,
            parked: Notify::new(),
            asking: Stuck::default(),
            handling: Stuck::default(),
            read_to_end: ReadToEnd::default(),
        })
    }
}

/// Name of the lease on one partition of a topic.
pub fn lease_name(topic: &str, partition: i32) -> String {
    format!("consumer:{topic}:{partition}")
}

/// Deletes inbox rows older than any record or `ListFacts` answer; watermarks stay.
pub async fn clean(db: &Db) -> Result<u64, DbErr> {
    let before = db.now(db.reader()).await? - chrono::Duration::days(8);
    db.execute(db.writer(), "DELETE FROM inbox WHERE processed_at < $1", [before.timestamp_micros().into()]).await
}
