//! Facts out: written with the state change, published by the relay, served again by `ListFacts`.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::from_micros;
use crate::db::{Db, rows_of_placeholders};
use crate::fact::{NewFact, RECORD_BYTES_MAX};
use crate::ids::FactId;
use crate::proto::common::v1::{FactRecord, RecordHeader};
use crate::tables::PARTITIONS;
use crate::telemetry::{self, Carrier};

mod heads;
mod relay;

pub use heads::Heads;
pub use relay::{Relay, lease_name as relay_lease_name};

/// Facts written by one statement: databases bound the number of parameters.
const INSERT_ROWS_MAX: usize = 500;
/// Most facts one `ListFacts` page carries.
const LIST_PAGE_MAX: u32 = 500;
/// Bytes of one `ListFacts` page: well below the message limit.
const LIST_BYTES_MAX: usize = 512 * 1024;

/// One service's facts on their way out. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    db: Db,
    producer: &'static str,
    topic: &'static str,
    wake: Arc<Notify>,
}

/// Which facts to serve.
#[derive(Debug, Clone, Copy)]
pub enum Listing {
    /// One aggregate's facts after a sequence.
    Aggregate(Uuid, i64),
    /// All facts after a position.
    From(i64),
}

/// A page of facts, and where the next one starts.
pub struct Listed {
    /// In order.
    pub records: Vec<FactRecord>,
    /// Position of the last one.
    pub last_position: i64,
    /// Whether more follow.
    pub has_more: bool,
}

impl Outbox {
    /// The outbox of `producer` (`booking`), published on `topic` (`eventix.booking.v1`).
    pub fn new(db: Db, producer: &'static str, topic: &'static str) -> Self {
        Self { db, producer, topic, wake: Arc::default() }
    }

    /// Where it publishes.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// Writes facts inside the transaction that makes them true, with the current trace context.
    /// Call [`Outbox::wake`] after the commit.
    ///
    /// # Errors
    /// The database's, or a fact larger than [`RECORD_BYTES_MAX`]: what is to be told with it must not come true.
    pub async fn append(&self, transaction: &impl ConnectionTrait, facts: &[NewFact]) -> Result<(), DbErr> {
        if facts.is_empty() {
            return Ok(());
        }
        let carrier = serde_json::to_string(&telemetry::carry()).expect("a map of strings");
        let now = self.db.now(transaction).await?;
        for facts in facts.chunks(INSERT_ROWS_MAX) {
            self.insert(transaction, facts, &carrier, now).await?;
        }
        Ok(())
    }

    async fn insert(
        &self,
        transaction: &impl ConnectionTrait,
        facts: &[NewFact],
        carrier: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO outbox (id, aggregate_id, sequence, log_partition, kind, value, carrier, occurred_at) VALUES {}",
            rows_of_placeholders(facts.len(), 8, 1)
        );
        let mut values: Vec<Value> = Vec::with_capacity(facts.len() * 8);
        for fact in facts {
            let id = FactId::new();
            let value = fact.envelope(id, now);
            if value.len() > RECORD_BYTES_MAX {
                return Err(DbErr::Custom(format!(
                    "fact {} of {} has {} bytes, at most {RECORD_BYTES_MAX} may be told",
                    fact.kind,
                    fact.aggregate_id,
                    value.len()
                )));
            }
            values.extend([
                id.into(),
                fact.aggregate_id.into(),
                fact.sequence.into(),
                partition_of(fact.aggregate_id).into(),
                fact.kind.clone().into(),
                value.into(),
                carrier.into(),
                now.timestamp_micros().into(),
            ]);
        }
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Tells the relay of this process that something was committed; without it the relay notices by itself, later.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Marks an aggregate's newest fact unpublished, so that it is told once more under the same id.
    pub async fn tell_last_again(&self, connection: &impl ConnectionTrait, aggregate: Uuid) -> Result<(), DbErr> {
        let sql = "UPDATE outbox SET published_at = NULL WHERE aggregate_id = $1
            AND sequence = (SELECT max(sequence) FROM outbox WHERE aggregate_id = $1)";
        self.db.execute(connection, sql, [aggregate.into()]).await?;
        Ok(())
    }

    /// Serves `ListFacts`.
    pub async fn list(&self, listing: Listing, page_size: u32) -> Result<Listed, DbErr> {
        let limit = page_size.clamp(1, LIST_PAGE_MAX);
        let columns = "position, id, aggregate_id, sequence, log_partition, kind, value, carrier, occurred_at";
        let (filter, values): (_, Vec<Value>) = match listing {
            Listing::Aggregate(id, after) => {
                ("aggregate_id = $1 AND sequence > $2 ORDER BY sequence", vec![id.into(), after.into()])
            }
            Listing::From(position) => ("position > $1 ORDER BY position", vec![position.into()]),
        };
        let sql = format!("SELECT {columns} FROM outbox WHERE {filter} LIMIT {}", limit + 1);
        let rows = self.db.query(self.db.reader(), sql, values).await?;

        let mut page = Listed { records: Vec::new(), last_position: 0, has_more: false };
        let mut bytes = 0;
        for row in &rows {
            let row = OutboxRow::read(row)?;
            bytes += row.value.len();
            if page.records.len() == limit as usize || bytes > LIST_BYTES_MAX {
                page.has_more = true;
                break;
            }
            page.last_position = row.position;
            let headers = self.headers(&row, row.carrier.clone());
            let headers = headers.into_iter().map(|(name, value)| RecordHeader { name, value }).collect();
            page.records.push(FactRecord { value: row.value.into(), headers });
        }
        Ok(page)
    }

    /// CloudEvents attributes (Kafka protocol binding, binary mode) and trace context of a record.
    fn headers(&self, row: &OutboxRow, carrier: Carrier) -> BTreeMap<String, String> {
        let occurred_at = from_micros(row.occurred_at).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let mut headers: BTreeMap<String, String> = carrier.into_iter().collect();
        headers.extend(
            [
                ("ce_specversion", "1.0".to_owned()),
                ("ce_id", row.id.to_string()),
                ("ce_type", row.kind.clone()),
                ("ce_source", format!("/eventix/{}", self.producer)),
                ("ce_subject", row.aggregate_id.to_string()),
                ("ce_time", occurred_at),
                ("content-type", "application/protobuf".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        headers
    }
}

/// Which partition an aggregate's facts go to: all to one, so that they stay in order.
pub fn partition_of(aggregate: Uuid) -> i32 {
    let digest = ring::digest::digest(&ring::digest::SHA256, aggregate.as_bytes());
    i32::from(digest.as_ref()[0]) % PARTITIONS
}

struct OutboxRow {
    position: i64,
    id: FactId,
    aggregate_id: Uuid,
    sequence: i64,
    partition: i32,
    kind: String,
    value: Vec<u8>,
    carrier: Carrier,
    occurred_at: i64,
}

impl OutboxRow {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let carrier: String = row.try_get("", "carrier")?;
        Ok(Self {
            position: row.try_get("", "position")?,
            id: row.try_get("", "id")?,
            aggregate_id: row.try_get("", "aggregate_id")?,
            sequence: row.try_get("", "sequence")?,
            partition: row.try_get("", "log_partition")?,
            kind: row.try_get("", "kind")?,
            value: row.try_get("", "value")?,
            carrier: serde_json::from_str(&carrier).unwrap_or_default(),
            occurred_at: row.try_get("", "occurred_at")?,
        })
    }
}
