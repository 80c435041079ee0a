//! One partition's records, in order, under its lease. Before the first fetch the position is checked against the log:
//! a log that is not the one we left starts a new incarnation. Never jumps to the latest record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::DbErr;

use super::intake::{Received, Taken};
use super::{Consumer, lease_name};
use crate::bus::{BusError, Incoming, PartitionLog};
use crate::error::chain;
use crate::fact::Fact;
use crate::ids::FactId;
use crate::runtime::Shutdown;
use crate::telemetry::{self, Carrier};

/// Pause while another process has the lease.
const LEASE_PAUSE: Duration = Duration::from_millis(200);
/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Why one session of reading ended.
enum Ended {
    Lease,
    Stopped,
}

/// Why one session of reading failed.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the log failed")]
    Bus(#[from] BusError),
    #[error("the database failed")]
    Db(#[from] DbErr),
}

impl Consumer {
    /// Reads one partition until shutdown.
    pub async fn run_partition(self: Arc<Self>, partition: i32, shutdown: Shutdown) -> anyhow::Result<()> {
        let lease = lease_name(self.topic, partition);
        let mut pause = PAUSE_MIN;
        while !shutdown.is_cancelled() {
            let Some(epoch) = self.leases.epoch(&lease) else {
                tokio::time::sleep(LEASE_PAUSE).await;
                continue;
            };
            match self.session(partition, &lease, epoch, &shutdown).await {
                Ok(Ended::Lease | Ended::Stopped) => pause = PAUSE_MIN,
                Err(error) => {
                    tracing::warn!(topic = self.topic, partition, error = %chain(&error), "reading failed, trying again");
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        Ok(())
    }

    /// Reads on a fresh connection for as long as the lease lasts.
    async fn session(
        &self,
        partition: i32,
        lease: &str,
        epoch: i64,
        shutdown: &Shutdown,
    ) -> Result<Ended, SessionError> {
        let log = self.bus.open(self.topic, partition).await?;
        let mut next = self.position(&log, partition).await?;
        while !shutdown.is_cancelled() {
            if self.leases.epoch(lease) != Some(epoch) {
                return Ok(Ended::Lease);
            }
            let records = tokio::select! {
                () = shutdown.cancelled() => return Ok(Ended::Stopped),
                fetched = log.fetch(next, self.settings.fetch_wait) => fetched?,
            };
            for record in &records {
                if self.take_patiently(record, lease, epoch, partition).await? == Taken::LeaseLost {
                    self.leases.lost(lease);
                    return Ok(Ended::Lease);
                }
                next = record.offset + 1;
            }
        }
        Ok(Ended::Stopped)
    }

    /// Takes a record, trying again while its handler fails; after a while it is the record's fault.
    async fn take_patiently(&self, record: &Incoming, lease: &str, epoch: i64, partition: i32) -> Result<Taken, DbErr> {
        let received = Received::from_log(record, lease, epoch, partition);
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.take(&received).await {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            if started.elapsed() > self.settings.patience && self.db.now(self.db.reader()).await.is_ok() {
                let fact = Fact::decode(&record.value, Carrier::new()).ok();
                return self.dead_letter(&received, fact.as_ref(), &chain(&error)).await;
            }
            if self.leases.epoch(lease) != Some(epoch) {
                return Ok(Taken::LeaseLost);
            }
            tracing::warn!(topic = self.topic, partition, offset = record.offset, error = %chain(&error), "fact not taken yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Where to go on, after checking that the log still holds what we left there.
    async fn position(&self, log: &PartitionLog, partition: i32) -> Result<i64, SessionError> {
        let (next, last) = self.stored_position(partition).await?;
        let (earliest, latest) = log.range().await?;
        let in_range = (earliest..=latest).contains(&next);
        if next == 0 && earliest == 0 || in_range && self.same_log(log, next, earliest, last).await? {
            return Ok(next);
        }
        tracing::error!(
            topic = self.topic,
            partition,
            next,
            earliest,
            latest,
            "the log is not the one we read before: starting at its beginning and asking the producer for the rest"
        );
        telemetry::count("eventix_log_incarnations", self.name, self.topic);
        let sql = "UPDATE consumer_offsets SET next_offset = $1, last_fact_id = NULL, incarnation = incarnation + 1,
            recovering = $2 WHERE consumer = $3 AND topic = $4 AND log_partition = $5 AND next_offset = $6";
        let values = [earliest.into(), true.into(), self.name.into(), self.topic.into(), partition.into(), next.into()];
        self.db.execute(self.db.writer(), sql, values).await?;
        self.parked.notify_one();
        Ok(self.stored_position(partition).await?.0)
    }

    /// Whether the record before `next` is the one we took last.
    async fn same_log(
        &self,
        log: &PartitionLog,
        next: i64,
        earliest: i64,
        last: Option<FactId>,
    ) -> Result<bool, BusError> {
        let (Some(last), true) = (last, next > earliest) else {
            return Ok(true);
        };
        let records = log.fetch(next - 1, self.settings.fetch_wait).await?;
        let before = records.first().filter(|r| r.offset == next - 1);
        let found = before.and_then(|r| Fact::decode(&r.value, Carrier::new()).ok()).map(|f| f.id);
        Ok(found == Some(last))
    }

    async fn stored_position(&self, partition: i32) -> Result<(i64, Option<FactId>), DbErr> {
        let key = [self.name.into(), self.topic.into(), partition.into()];
        let sql = "INSERT INTO consumer_offsets (consumer, topic, log_partition, next_offset, incarnation, recovering)
            VALUES ($1, $2, $3, 0, 1, FALSE) ON CONFLICT DO NOTHING";
        self.db.execute(self.db.writer(), sql, key.clone()).await?;
        let sql = "SELECT next_offset, last_fact_id FROM consumer_offsets
            WHERE consumer = $1 AND topic = $2 AND log_partition = $3";
        let rows = self.db.query(self.db.writer(), sql, key).await?;
        let row = rows.first().ok_or_else(|| DbErr::RecordNotFound("consumer offset".into()))?;
        Ok((row.try_get("", "next_offset")?, row.try_get("", "last_fact_id")?))
    }
}
