//! What does not come by the log: facts missing before a parked one, everything after a new log incarnation, and one
//! aggregate's news when its owner asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DbErr, QueryResult};
use uuid::Uuid;

use super::intake::{Place, Received};
use super::{AGGREGATES_MAX, Consumer};
use crate::fact::Fact;
use crate::failpoint::{self, Step};
use crate::proto::common::v1::FactRecord;
use crate::runtime::Shutdown;
use crate::telemetry::Carrier;

/// How often parked facts and decided dead letters are looked at without being woken.
const ROUND: Duration = Duration::from_secs(1);

impl Consumer {
    /// Catches up until shutdown.
    pub async fn run_catch_up(self: Arc<Self>, shutdown: Shutdown) -> anyhow::Result<()> {
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            never = async {
                loop {
                    self.catch_up().await;
                    tokio::select! {
                        () = self.parked.notified() => {}
                        () = tokio::time::sleep(ROUND) => {}
                    }
                }
            } => never,
        }
    }

    /// One round; what fails in one part does not keep the others waiting.
    async fn catch_up(&self) {
        for (part, outcome) in [
            ("recovering", self.recover().await),
            ("settling dead letters", self.settle_dead_letters().await),
            ("taking parked facts", self.unpark_all().await),
        ] {
            if let Err(error) = outcome {
                let (consumer, producer) = (self.name, self.producer);
                tracing::warn!(consumer, producer, error = format!("{error:#}"), "{part} failed, trying again");
            }
        }
    }

    /// Asks the producer for an aggregate's facts after the last one taken, and takes them; returns how many it told.
    pub async fn ask(&self, aggregate: Uuid) -> anyhow::Result<usize> {
        let mut told = 0;
        loop {
            let watermark = self.watermark(aggregate).await?;
            let (records, more) = self.source.of_aggregate(aggregate, watermark).await?;
            told += records.len();
            for record in &records {
                self.take_told(record).await?;
            }
            if !more || self.watermark(aggregate).await? == watermark {
                return Ok(told);
            }
        }
    }

    /// Takes a fact that its producer told. When its handler fails for now it is parked, so that the others get their turn.
    async fn take_told(&self, record: &FactRecord) -> Result<(), DbErr> {
        let headers: BTreeMap<_, _> = record.headers.iter().map(|h| (h.name.clone(), h.value.clone())).collect();
        let received = Received { key: None, value: &record.value, headers, place: Place::Aside };
        let Ok(fact) = Fact::decode(&record.value, Carrier::new()) else {
            return self.take(&received).await.map(drop);
        };
        // Most of a recovery is known: a read is cheaper than a transaction.
        if fact.sequence <= self.watermark(fact.aggregate_id).await? {
            return Ok(());
        }
        match self.take_unhurried(&received).await? {
            Some(_) => Ok(()),
            None => self.park_aside(&received, &fact).await,
        }
    }

    async fn park_aside(&self, received: &Received<'_>, fact: &Fact) -> Result<(), DbErr> {
        let transaction = self.db.begin().await?;
        if fact.sequence > self.lock_watermark(&transaction, fact.aggregate_id).await? {
            self.park(&transaction, received, fact).await?;
        }
        transaction.commit().await
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
                self.take_told(record).await?;
            }
            if !more {
                break;
            }
            position = last;
        }
        let all = async {
            for row in rows {
                self.recovered(&row).await?;
            }
            Ok(())
        };
        failpoint::around(Step::Recover, [self.producer], all).await
    }

    /// Unless yet another incarnation was found meanwhile.
    async fn recovered(&self, row: &QueryResult) -> Result<(), DbErr> {
        let (partition, incarnation): (i32, i64) = (row.try_get("", "log_partition")?, row.try_get("", "incarnation")?);
        let sql = "UPDATE consumer_offsets SET recovering = FALSE
            WHERE consumer = $1 AND topic = $2 AND log_partition = $3 AND incarnation = $4";
        let values = [self.name.into(), self.topic.into(), partition.into(), incarnation.into()];
        self.db.execute(self.db.writer(), sql, values).await?;
        Ok(())
    }

    async fn unpark_all(&self) -> anyhow::Result<()> {
        let mut last = Uuid::nil();
        loop {
            let aggregates = self.parked_aggregates(last).await?;
            for aggregate in &aggregates {
                self.unpark(*aggregate).await?;
            }
            match aggregates.last() {
                Some(aggregate) if aggregates.len() == AGGREGATES_MAX => last = *aggregate,
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Aggregates with parked facts that no dead letter holds up, by id.
    async fn parked_aggregates(&self, after: Uuid) -> Result<Vec<Uuid>, DbErr> {
        let sql = format!(
            "SELECT DISTINCT p.aggregate_id AS aggregate_id FROM parked p WHERE p.consumer = $1 AND p.producer = $2
             AND p.aggregate_id > $3
             AND NOT EXISTS (SELECT 1 FROM dead_letters d WHERE d.consumer = p.consumer AND d.producer = p.producer
                AND d.aggregate_id = p.aggregate_id AND d.settled_at IS NULL AND d.sequence < p.sequence)
             ORDER BY aggregate_id LIMIT {AGGREGATES_MAX}"
        );
        let rows = self.db.query(self.db.reader(), sql, [self.name.into(), self.producer.into(), after.into()]).await?;
        rows.iter().map(|row| row.try_get("", "aggregate_id")).collect()
    }

    /// Takes an aggregate's parked facts in order, asking the producer for what is missing before them.
    async fn unpark(&self, aggregate: Uuid) -> anyhow::Result<()> {
        while let Some(first) = self.first_parked(aggregate).await? {
            let watermark = self.watermark(aggregate).await?;
            if first.sequence > watermark + 1 {
                if !self.asking.due(aggregate) {
                    return Ok(());
                }
                // Noted before: an asking that fails rests too, and the next round begins with another aggregate.
                self.asking.failed(aggregate);
                self.ask(aggregate).await?;
            } else {
                let place = Place::Aside;
                self.take_unhurried(&Received { key: None, value: &first.value, headers: first.headers, place })
                    .await?;
            }
            if self.watermark(aggregate).await? == watermark {
                // The producer does not have it either, yet, or it does not get through: later.
                return Ok(());
            }
            self.asking.moved(aggregate);
        }
        Ok(())
    }

    async fn first_parked(&self, aggregate: Uuid) -> Result<Option<Parked>, DbErr> {
        let sql =
            "SELECT sequence, value, headers FROM parked WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3
            ORDER BY sequence LIMIT 1";
        let rows =
            self.db.query(self.db.reader(), sql, [self.name.into(), self.producer.into(), aggregate.into()]).await?;
        rows.first().map(Parked::read).transpose()
    }

    async fn watermark(&self, aggregate: Uuid) -> Result<i64, DbErr> {
        let sql = "SELECT sequence FROM watermarks WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3";
        let values = [self.name.into(), self.producer.into(), aggregate.into()];
        let rows = self.db.query(self.db.reader(), sql, values).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "sequence"))
    }
}

struct Parked {
    sequence: i64,
    value: Vec<u8>,
    headers: BTreeMap<String, String>,
}

impl Parked {
    fn read(row: &QueryResult) -> Result<Self, DbErr> {
        let headers: String = row.try_get("", "headers")?;
        Ok(Self {
            sequence: row.try_get("", "sequence")?,
            value: row.try_get("", "value")?,
            headers: serde_json::from_str(&headers).unwrap_or_default(),
        })
    }
}
