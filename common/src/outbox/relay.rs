//! The relay: publishes committed facts in order per aggregate and marks them after the broker's acknowledgement.
//! It looks for unpublished rows, never for "id greater than the last": a slow transaction may commit an early row late.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{DbErr, Value};

use super::{Outbox, OutboxRow};
use crate::bus::{Bus, Outgoing, Producer};
use crate::db::placeholders;
use crate::error::chain;
use crate::lease::{Leases, held_sql};
use crate::runtime::Shutdown;
use crate::tables::PARTITIONS;
use crate::telemetry;

/// Facts published in one round.
const BATCH: u32 = 500;
/// How often the relay looks by itself: other processes cannot wake it.
const POLL: Duration = Duration::from_millis(250);
/// Pause after a failed round.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Rows stay as long as the topic keeps its records.
const RETENTION: chrono::Duration = chrono::Duration::days(7);

/// Publishes one outbox.
pub struct Relay {
    outbox: Outbox,
    producer: Producer,
    leases: Arc<Leases>,
}

/// Name of the lease on one partition of an outbox.
pub fn lease_name(partition: i32) -> String {
    format!("relay:{partition}")
}

/// Rows of one partition, in order.
type Shard = Vec<OutboxRow>;

impl Relay {
    /// A relay that publishes the partitions it has leases for.
    pub fn new(outbox: Outbox, bus: &Bus, leases: Arc<Leases>) -> Self {
        let producer = bus.producer(outbox.topic);
        Self { outbox, producer, leases }
    }

    /// Publishes until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            let published = match self.round().await {
                Ok(published) => published,
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "relay round failed");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    0
                }
            };
            if published == 0 {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = self.outbox.wake.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
        }
        Ok(())
    }

    async fn round(&self) -> Result<usize, DbErr> {
        let epochs: BTreeMap<i32, i64> =
            (0..PARTITIONS).filter_map(|p| Some((p, self.leases.epoch(&lease_name(p))?))).collect();
        if epochs.is_empty() {
            return Ok(0);
        }
        let mut shards: BTreeMap<i32, Shard> = BTreeMap::new();
        for row in self.unpublished(&epochs).await? {
            shards.entry(row.partition).or_default().push(row);
        }
        let published = join_all(shards.into_iter().map(|(partition, shard)| {
            let epoch = epochs[&partition];
            self.publish(partition, epoch, shard)
        }));
        published.await.into_iter().sum()
    }

    async fn unpublished(&self, epochs: &BTreeMap<i32, i64>) -> Result<Vec<OutboxRow>, DbErr> {
        let db = &self.outbox.db;
        let sql = format!(
            "SELECT position, id, aggregate_id, sequence, log_partition, kind, value, carrier, occurred_at FROM outbox
             WHERE published_at IS NULL AND log_partition IN ({}) ORDER BY position LIMIT {BATCH}",
            placeholders(epochs.len(), 1)
        );
        let values = epochs.keys().map(|p| (*p).into()).collect::<Vec<Value>>();
        db.query(db.reader(), sql, values).await?.iter().map(OutboxRow::read).collect()
    }

    /// Publishes one partition's rows in one request and marks them; returns how many.
    async fn publish(&self, partition: i32, epoch: i64, mut shard: Shard) -> Result<usize, DbErr> {
        // Positions of one aggregate grow with its sequences, because both are given under its row lock; a fact told once
        // more keeps its old position.
        shard.sort_by_key(|row| row.position);
        let records = shard.iter().map(|row| self.record(row)).collect();
        if let Err(error) = self.producer.produce(partition, records).await {
            tracing::warn!(partition, error = %chain(&error), "facts not published yet");
            tokio::time::sleep(RETRY_PAUSE).await;
            return Ok(0);
        }
        let db = &self.outbox.db;
        let sql = format!(
            "UPDATE outbox SET published_at = {} WHERE {} AND position IN ({})",
            db.now_sql(),
            held_sql("$1", "$2"),
            placeholders(shard.len(), 3)
        );
        let mut values: Vec<Value> = vec![lease_name(partition).into(), epoch.into()];
        values.extend(shard.iter().map(|row| row.position.into()));
        if db.execute(db.writer(), sql, values).await? == 0 {
            self.leases.lost(&lease_name(partition));
        }
        Ok(shard.len())
    }

    /// The record of a fact; publishing is a span of the trace that wrote the row, however much later.
    fn record(&self, row: &OutboxRow) -> Outgoing {
        let span = tracing::info_span!(
            "fact.publish",
            otel.name = format!("{} publish", self.outbox.topic),
            otel.kind = "producer",
            messaging.system = "kafka",
            messaging.destination.name = self.outbox.topic,
            messaging.message.id = %row.id,
            fact.kind = row.kind,
            fact.sequence = row.sequence,
        );
        telemetry::set_parent(&span, &row.carrier);
        let carrier = telemetry::carry_span(&span);
        let carrier = if carrier.is_empty() { row.carrier.clone() } else { carrier };
        Outgoing {
            key: row.aggregate_id.to_string().into_bytes(),
            value: row.value.clone(),
            headers: self.outbox.headers(row, carrier),
        }
    }
}

impl Outbox {
    /// Deletes what was published longer ago than any topic keeps it.
    pub async fn clean(&self) -> Result<u64, DbErr> {
        let before = self.db.now(self.db.reader()).await? - RETENTION;
        let sql = "DELETE FROM outbox WHERE published_at < $1";
        self.db.execute(self.db.writer(), sql, [before.timestamp_micros().into()]).await
    }

    /// Facts still to be published, and the age of the oldest in seconds.
    pub async fn backlog(&self) -> Result<(i64, f64), DbErr> {
        let sql = format!(
            "SELECT CAST(count(*) AS bigint) AS waiting, CAST(coalesce({} - min(occurred_at), 0) AS bigint) AS age
             FROM outbox WHERE published_at IS NULL",
            self.db.now_sql()
        );
        let rows = self.db.query(self.db.reader(), sql, []).await?;
        let row = rows.first().ok_or_else(|| DbErr::RecordNotFound("count".into()))?;
        let age: i64 = row.try_get("", "age")?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        Ok((row.try_get("", "waiting")?, age as f64 / 1e6))
    }
}
