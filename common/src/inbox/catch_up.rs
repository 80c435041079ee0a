//! What does not come by the log: facts missing before a parked one, decided dead letters, everything after a new log
//! incarnation, and one aggregate's news when its owner asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::DbErr;
use uuid::Uuid;

use super::Consumer;
use super::intake::{Place, Received, Taken};
use crate::error::chain;
use crate::proto::common::v1::FactRecord;
use crate::runtime::Shutdown;

/// How often parked facts and decided dead letters are looked at without being woken.
const ROUND: Duration = Duration::from_secs(1);
/// Aggregates looked at in one round.
const AGGREGATES_MAX: u32 = 200;

impl Consumer {
    /// Catches up until shutdown.
    pub async fn run_catch_up(self: Arc<Self>, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.catch_up().await {
                tracing::warn!(
                    consumer = self.name,
                    producer = self.producer,
                    error = format!("{error:#}"),
                    "catching up failed"
                );
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.parked.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
        }
        Ok(())
    }

    async fn catch_up(&self) -> anyhow::Result<()> {
        self.recover().await?;
        self.settle_dead_letters().await?;
        for aggregate in self.parked_aggregates().await? {
            self.unpark(aggregate).await?;
        }
        Ok(())
    }

    /// Asks the producer for an aggregate's facts after the last one taken, and takes them; returns how many it told.
    pub async fn ask(&self, aggregate: Uuid) -> anyhow::Result<usize> {
        let mut told = 0;
        loop {
            let watermark = self.watermark(aggregate).await?;
            let (records, more) = self.source.of_aggregate(aggregate, watermark).await?;
            told += records.len();
            for record in &records {
                self.take_aside(record).await?;
            }
            if !more || self.watermark(aggregate).await? == watermark {
                return Ok(told);
            }
        }
    }

    async fn take_aside(&self, record: &FactRecord) -> Result<Taken, DbErr> {
        let headers = record.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
        self.take(&Received { key: None, value: &record.value, headers, place: Place::Aside }).await
    }

    /// After a new log incarnation: everything the producer still knows goes through the inbox, which drops what it had.
    async fn recover(&self) -> anyhow::Result<()> {
        let sql = "SELECT log_partition, incarnation FROM consumer_offsets
            WHERE consumer = $1 AND topic = $2 AND recovering = TRUE";
        let rows = self.db.query(self.db.reader(), sql, [self.name.into(), self.topic.into()]).await?;
        if rows.is_empty() {
            return Ok(());
        }
        tracing::warn!(consumer = self.name, producer = self.producer, "asking the producer for all its facts");
        let mut position = 0;
        loop {
            let (records, last, more) = self.source.after_position(position).await?;
            for record in &records {
                self.take_aside(record).await?;
            }
            if !more {
                break;
            }
            position = last;
        }
        for row in rows {
            let (partition, incarnation): (i32, i64) =
                (row.try_get("", "log_partition")?, row.try_get("", "incarnation")?);
            let sql = "UPDATE consumer_offsets SET recovering = FALSE
                WHERE consumer = $1 AND topic = $2 AND log_partition = $3 AND incarnation = $4";
            let values = [self.name.into(), self.topic.into(), partition.into(), incarnation.into()];
            self.db.execute(self.db.writer(), sql, values).await?;
        }
        Ok(())
    }

    async fn parked_aggregates(&self) -> Result<Vec<Uuid>, DbErr> {
        let sql = format!(
            "SELECT DISTINCT p.aggregate_id AS aggregate_id FROM parked p WHERE p.consumer = $1 AND p.producer = $2
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.consumer = p.consumer AND d.producer = p.producer
                AND d.aggregate_id = p.aggregate_id AND d.settled_at IS NULL AND d.sequence < p.sequence)
             LIMIT {AGGREGATES_MAX}"
        );
        let rows = self.db.query(self.db.reader(), sql, [self.name.into(), self.producer.into()]).await?;
        rows.iter().map(|row| row.try_get("", "aggregate_id")).collect()
    }

    /// Takes an aggregate's parked facts in order, asking the producer for what is missing before them.
    async fn unpark(&self, aggregate: Uuid) -> anyhow::Result<()> {
        loop {
            let watermark = self.watermark(aggregate).await?;
            let sql = "SELECT sequence, value, headers FROM parked WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3
                ORDER BY sequence LIMIT 1";
            let values = [self.name.into(), self.producer.into(), aggregate.into()];
            let rows = self.db.query(self.db.reader(), sql, values).await?;
            let Some(first) = rows.first() else { return Ok(()) };
            let sequence: i64 = first.try_get("", "sequence")?;
            if sequence > watermark + 1 {
                self.ask(aggregate).await?;
            } else {
                let (value, headers): (Vec<u8>, String) = (first.try_get("", "value")?, first.try_get("", "headers")?);
                self.take_stored(&value, &headers).await?;
            }
            if self.watermark(aggregate).await? == watermark {
                // The producer does not have it either, yet, or a dead letter came between: next round.
                return Ok(());
            }
        }
    }

    async fn take_stored(&self, value: &[u8], headers: &str) -> Result<Taken, DbErr> {
        let headers: BTreeMap<String, String> = serde_json::from_str(headers).unwrap_or_default();
        self.take(&Received { key: None, value, headers, place: Place::Aside }).await
    }

    /// Carries out what a person decided about dead letters.
    async fn settle_dead_letters(&self) -> Result<(), DbErr> {
        let sql = "SELECT id, status, aggregate_id, sequence, value, headers FROM dead_letters
            WHERE consumer = $1 AND producer = $2 AND status <> 'open' AND settled_at IS NULL ORDER BY created_at";
        for row in self.db.query(self.db.reader(), sql, [self.name.into(), self.producer.into()]).await? {
            let id: Uuid = row.try_get("", "id")?;
            let status: String = row.try_get("", "status")?;
            // Settled first: a requeued record that fails again becomes a new dead letter of its own.
            let sql = format!(
                "UPDATE dead_letters SET settled_at = {} WHERE id = $1 AND settled_at IS NULL",
                self.db.now_sql()
            );
            if status == "requeued" {
                let (value, headers): (Option<Vec<u8>>, String) =
                    (row.try_get("", "value")?, row.try_get("", "headers")?);
                match self.take_stored(&value.unwrap_or_default(), &headers).await {
                    Ok(taken) => tracing::info!(dead_letter.id = %id, ?taken, "dead letter {id} requeued"),
                    Err(error) => {
                        tracing::warn!(dead_letter.id = %id, error = %chain(&error), "dead letter {id} not taken yet");
                        continue;
                    }
                }
                self.db.execute(self.db.writer(), sql, [id.into()]).await?;
                continue;
            }
            let transaction = self.db.begin().await?;
            let (aggregate, sequence): (Option<Uuid>, Option<i64>) =
                (row.try_get("", "aggregate_id")?, row.try_get("", "sequence")?);
            if let (Some(aggregate), Some(sequence)) = (aggregate, sequence)
                && self.lock_watermark(&transaction, aggregate).await? < sequence
            {
                self.set_watermark(&transaction, aggregate, sequence).await?;
            }
            self.db.execute(&transaction, sql, [id.into()]).await?;
            transaction.commit().await?;
            tracing::info!(dead_letter.id = %id, "dead letter {id} discarded");
        }
        Ok(())
    }

    async fn watermark(&self, aggregate: Uuid) -> Result<i64, DbErr> {
        let sql = "SELECT sequence FROM watermarks WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3";
        let values = [self.name.into(), self.producer.into(), aggregate.into()];
        let rows = self.db.query(self.db.reader(), sql, values).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "sequence"))
    }
}
