//! One fact through the inbox transaction: duplicates and older facts are dropped, later ones parked, the next one applied.

use std::collections::BTreeMap;
use std::time::Instant;

use sea_orm::{DatabaseTransaction, DbErr};
use tracing::Instrument;
use uuid::Uuid;

use super::{Consumer, HandleError};
use crate::bus::Incoming;
use crate::error::chain;
use crate::fact::Fact;
use crate::failpoint::{self, Step};
use crate::ids::FactId;
use crate::lease::{Lease, held_sql};
use crate::telemetry::{self, Carrier};

/// A record, wherever it came from.
pub(super) struct Received<'a> {
    pub key: Option<&'a [u8]>,
    pub value: &'a [u8],
    pub headers: BTreeMap<String, String>,
    pub place: Place<'a>,
}

/// Where a record stood.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// On the log, by a reader that stands before it.
    Log { reader: Reader<'a>, offset: i64 },
    /// Told by the producer, or parked before.
    Aside,
    /// A dead letter that a person sent back.
    Requeued { letter: Uuid },
}

/// Where a reader of the log stands.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub lease: &'a Lease,
    pub partition: i32,
    /// The stored position: the first offset that has not been taken.
    pub next: i64,
}

/// What became of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It took effect.
    Applied,
    /// It had taken effect, or something later had.
    Dropped,
    /// It waits for an earlier one.
    Parked,
    /// It needs a person, now or since before.
    DeadLettered,
    /// Another process does this by now; nothing was written.
    LeaseLost,
}

impl Received<'_> {
    fn carrier(&self) -> Carrier {
        let trace = |name: &&str| Some(((*name).to_owned(), self.headers.get(*name)?.clone()));
        ["traceparent", "tracestate"].iter().filter_map(trace).collect()
    }

    pub(super) fn headers_json(&self) -> String {
        serde_json::to_string(&self.headers).expect("a map of strings")
    }
}

impl<'a> Received<'a> {
    pub(super) fn from_log(record: &'a Incoming, reader: Reader<'a>) -> Self {
        Self {
            key: record.key.as_deref(),
            value: &record.value,
            headers: record.headers.clone(),
            place: Place::Log { reader, offset: record.offset },
        }
    }
}

impl Consumer {
    /// Takes one record in, however often that needs trying.
    ///
    /// # Errors
    /// Only the database's: nothing was written, try again.
    pub(super) async fn take(&self, received: &Received<'_>) -> Result<Taken, DbErr> {
        let fact = match Fact::decode(received.value, received.carrier()) {
            Ok(fact) => fact,
            Err(error) => return self.dead_letter(received, None, &chain(&error)).await,
        };
        let span = tracing::info_span!(
            "fact.process",
            otel.name = format!("{} process", self.topic),
            otel.kind = "consumer",
            messaging.system = "kafka",
            messaging.destination.name = self.topic,
            messaging.consumer.group.name = self.name,
            messaging.message.id = %fact.id,
            fact.kind = fact.kind,
            fact.sequence = fact.sequence,
        );
        telemetry::set_parent(&span, &fact.carrier);
        telemetry::add_link(&span, &fact.carrier);

        let started = Instant::now();
        let outcome = self.attempt(received, &fact).instrument(span.clone()).await;
        let taken = match outcome {
            Ok(taken) => taken,
            Err(HandleError::Permanent(error)) => {
                self.dead_letter(received, Some(&fact), &format!("{error:#}")).instrument(span).await?
            }
            Err(HandleError::Transient(error)) => return Err(DbErr::Custom(format!("{error:#}"))),
        };
        telemetry::record_request("fact", self.name, known(&fact.kind), &format!("{taken:?}"), started.elapsed());
        if taken == Taken::Applied {
            self.handler.committed();
        }
        // Only news: what is told aside comes from catching up, which would wake itself for ever.
        if taken == Taken::Parked && matches!(received.place, Place::Log { .. }) {
            self.parked.notify_one();
        }
        Ok(taken)
    }

    async fn attempt(&self, received: &Received<'_>, fact: &Fact) -> Result<Taken, HandleError> {
        let transaction = self.db.begin().await?;
        let taken = self.decide(&transaction, received, fact).await?;
        if !self.advance(&transaction, received, Some(fact)).await? {
            return Ok(Taken::LeaseLost);
        }
        failpoint::around(Step::TakeIn, [fact.kind.as_str()], transaction.commit()).await?;
        Ok(taken)
    }

    async fn decide(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
        fact: &Fact,
    ) -> Result<Taken, HandleError> {
        let watermark = self.lock_watermark(transaction, fact.aggregate_id).await?;
        if fact.sequence <= watermark {
            return Ok(Taken::Dropped);
        }
        let dead_letter = self.earliest_dead_letter(transaction, received, fact).await?;
        if dead_letter == Some(fact.sequence) {
            return Ok(Taken::DeadLettered);
        }
        if fact.sequence > watermark + 1 || dead_letter.is_some() {
            self.park(transaction, received, fact).await?;
            return Ok(Taken::Parked);
        }
        self.note(transaction, fact).await?;
        self.handler.handle(transaction, fact).await?;
        Ok(Taken::Applied)
    }

    /// Reads the watermark and locks it, so that two paths cannot apply one aggregate's facts at once.
    pub(super) async fn lock_watermark(
        &self,
        transaction: &DatabaseTransaction,
        aggregate: Uuid,
    ) -> Result<i64, DbErr> {
        let sql = "INSERT INTO watermarks (consumer, producer, aggregate_id, sequence) VALUES ($1, $2, $3, 0)
            ON CONFLICT (consumer, producer, aggregate_id) DO UPDATE SET sequence = watermarks.sequence
            RETURNING sequence";
        let rows = self.db.query(transaction, sql, [self.name.into(), self.producer.into(), aggregate.into()]).await?;
        rows.first().ok_or_else(|| DbErr::RecordNotFound("watermark".into()))?.try_get("", "sequence")
    }

    pub(super) async fn park(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
        fact: &Fact,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO parked (consumer, producer, aggregate_id, sequence, fact_id, value, headers, parked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, {}) ON CONFLICT DO NOTHING",
            self.db.now_sql()
        );
        let values = [
            self.name.into(),
            self.producer.into(),
            fact.aggregate_id.into(),
            fact.sequence.into(),
            fact.id.into(),
            received.value.to_vec().into(),
            received.headers_json().into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Inbox row and watermark of a fact that takes effect.
    async fn note(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let sql = format!(
            "INSERT INTO inbox (consumer, fact_id, producer, aggregate_id, sequence, processed_at)
             VALUES ($1, $2, $3, $4, $5, {}) ON CONFLICT (consumer, fact_id) DO NOTHING",
            self.db.now_sql()
        );
        let values =
            [self.name.into(), fact.id.into(), self.producer.into(), fact.aggregate_id.into(), fact.sequence.into()];
        if self.db.execute(transaction, sql, values).await? == 0 {
            return Err(HandleError::Permanent(anyhow::anyhow!("id {} was another fact's before", fact.id)));
        }
        Ok(self.set_watermark(transaction, fact.aggregate_id, fact.sequence).await?)
    }

    pub(super) async fn set_watermark(
        &self,
        transaction: &DatabaseTransaction,
        aggregate: Uuid,
        sequence: i64,
    ) -> Result<(), DbErr> {
        let sql = "UPDATE watermarks SET sequence = $4 WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3";
        let values = [self.name.into(), self.producer.into(), aggregate.into(), sequence.into()];
        self.db.execute(transaction, sql, values).await?;
        let sql = "DELETE FROM parked WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3 AND sequence <= $4";
        let values = [self.name.into(), self.producer.into(), aggregate.into(), sequence.into()];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Moves the offset past a log record, or settles the letter that was requeued; false when another process was faster,
    /// or the stored position is not the reader's any more.
    pub(super) async fn advance(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
        fact: Option<&Fact>,
    ) -> Result<bool, DbErr> {
        let (reader, offset) = match received.place {
            Place::Log { reader, offset } => (reader, offset),
            Place::Requeued { letter } => return self.settle(transaction, letter).await,
            Place::Aside => return Ok(true),
        };
        let sql = format!(
            "UPDATE consumer_offsets SET next_offset = $1, last_fact_id = $2
             WHERE consumer = $3 AND topic = $4 AND log_partition = $5 AND next_offset = $6 AND {}",
            held_sql("$7", "$8")
        );
        let values = [
            (offset + 1).into(),
            fact.map_or_else(|| record_id(received.value), |f| f.id).into(),
            self.name.into(),
            self.topic.into(),
            reader.partition.into(),
            reader.next.into(),
            reader.lease.name().into(),
            reader.lease.epoch().into(),
        ];
        Ok(self.db.execute(transaction, sql, values).await? == 1)
    }
}

/// What tells a record from others: its fact's id, or for a record that is no fact, an id made of its hash.
pub(super) fn record_id(value: &[u8]) -> FactId {
    if let Ok(fact) = Fact::decode(value, Carrier::new()) {
        return fact.id;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, value);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    FactId(Uuid::from_bytes(bytes))
}

/// Keeps made-up type names out of the labels.
fn known(kind: &str) -> &str {
    if kind.starts_with("eventix.") && kind.len() < 64 { kind } else { "other" }
}
