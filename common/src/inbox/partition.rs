//! One partition's records, in order, under its lease. Before the first fetch of each connection the position is checked
//! against the log: a log that is not the one we left starts a new incarnation. Never jumps to the latest record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::DbErr;

use super::intake::{Reader, Received, Taken, record_id};
use super::{Consumer, lease_name};
use crate::bus::{BusError, Incoming, PartitionLog};
use crate::error::chain;
use crate::fact::Fact;
use crate::ids::FactId;
use crate::lease::{Lease, held_sql};
use crate::runtime::Shutdown;
use crate::tables::PARTITIONS;
use crate::telemetry::{self, Carrier};

/// Pause while another process has the lease.
const LEASE_PAUSE: Duration = Duration::from_millis(200);
/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// How often a partition that keeps failing says so.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Why one session of reading failed.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("the log failed")]
    Bus(#[from] BusError),
    #[error("the database failed")]
    Db(#[from] DbErr),
}

/// How badly reading goes.
struct Trouble {
    pause: Duration,
    told_at: Option<Instant>,
}

impl Trouble {
    const NONE: Self = Self { pause: PAUSE_MIN, told_at: None };

    /// Whether a failure should be told now: the first at once, then once in a while.
    fn tells(&mut self) -> bool {
        let tells = self.told_at.is_none_or(|at| at.elapsed() > TELL_EVERY);
        if tells {
            self.told_at = Some(Instant::now());
        }
        tells
    }
}

impl Consumer {
    /// Reads one partition until shutdown, and finishes the record in hand.
    pub async fn run_partition(self: Arc<Self>, partition: i32, shutdown: Shutdown) -> anyhow::Result<()> {
        let name = lease_name(self.topic, partition);
        let mut trouble = Trouble::NONE;
        while !shutdown.is_cancelled() {
            let pause = match self.leases.get(&name) {
                Some(lease) => self.turn(partition, &lease, &mut trouble).await,
                None => LEASE_PAUSE,
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(())
    }

    /// One session, for as long as the lease lasts; returns how long to pause after it.
    async fn turn(&self, partition: i32, lease: &Lease, trouble: &mut Trouble) -> Duration {
        let began = Instant::now();
        let outcome = self.session(partition, lease).await;
        if outcome.is_ok() || began.elapsed() > TELL_EVERY {
            *trouble = Trouble::NONE;
        }
        let Err(error) = outcome else { return Duration::ZERO };
        if trouble.tells() {
            tracing::warn!(topic = self.topic, partition, error = %chain(&error), "reading failed, trying again");
        }
        if matches!(&error, SessionError::Bus(error) if error.is_unknown_topic())
            && let Err(error) = self.bus.ensure_topic(self.topic, PARTITIONS).await
        {
            tracing::warn!(topic = self.topic, error = %chain(&error), "the topic is not there");
        }
        let pause = trouble.pause;
        trouble.pause = (pause * 2).min(PAUSE_MAX);
        pause
    }

    /// Reads on a fresh connection for as long as the lease lasts. Waiting for the broker ends with the lease, the record in
    /// hand is finished.
    async fn session(&self, partition: i32, lease: &Lease) -> Result<(), SessionError> {
        let Some(opened) = while_held(lease, self.open(partition, lease)).await else { return Ok(()) };
        let Some((log, next)) = opened? else {
            self.leases.lost(lease);
            return Ok(());
        };
        let mut reader = Reader { lease, partition, next };
        while let Some(records) = while_held(lease, log.fetch(reader.next, self.settings.fetch_wait)).await {
            for record in &records? {
                if lease.has_ended() {
                    return Ok(());
                }
                if self.take_patiently(record, reader).await? == Taken::LeaseLost {
                    self.leases.lost(lease);
                    return Ok(());
                }
                reader.next = record.offset + 1;
            }
            if reader.next >= log.end() {
                self.read_to_end.note(partition);
            }
            let name = format!("{}/{partition}", self.topic);
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            telemetry::set_gauge("eventix_consumer_lag", self.name, &name, (log.end() - reader.next).max(0) as f64);
        }
        Ok(())
    }

    /// Takes a record, trying again while its handler fails; after a while it is the record's fault.
    async fn take_patiently(&self, record: &Incoming, reader: Reader<'_>) -> Result<Taken, DbErr> {
        let Reader { lease, partition, .. } = reader;
        let received = Received::from_log(record, reader);
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.take(&received).await {
                Ok(taken) => return Ok(taken),
                Err(error) => error,
            };
            if started.elapsed() > self.settings.patience && self.db.now(self.db.writer()).await.is_ok() {
                let fact = Fact::decode(&record.value, Carrier::new()).ok();
                return self.dead_letter(&received, fact.as_ref(), &chain(&error)).await;
            }
            tracing::warn!(topic = self.topic, partition, offset = record.offset, error = %chain(&error), "fact not taken yet");
            if while_held(lease, tokio::time::sleep(pause)).await.is_none() {
                return Err(error);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The log and where to go on in it; `None` when the lease is another's.
    async fn open(&self, partition: i32, lease: &Lease) -> Result<Option<(PartitionLog, i64)>, SessionError> {
        let log = self.bus.open(self.topic, partition).await?;
        let next = self.position(&log, partition, lease).await?;
        Ok(next.map(|next| (log, next)))
    }

    /// Where to go on, after checking that the log still holds what we left there; `None` when the lease is another's.
    async fn position(&self, log: &PartitionLog, partition: i32, lease: &Lease) -> Result<Option<i64>, SessionError> {
        let (next, last) = self.stored_position(partition).await?;
        let (earliest, latest) = log.range().await?;
        let in_range = (earliest..=latest).contains(&next);
        if in_range && self.same_log(log, next, earliest, last).await? {
            return Ok(Some(next));
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
        let sql = format!(
            "UPDATE consumer_offsets SET next_offset = $1, last_fact_id = NULL, incarnation = incarnation + 1,
                recovering = TRUE
             WHERE consumer = $2 AND topic = $3 AND log_partition = $4 AND next_offset = $5 AND {}",
            held_sql("$6", "$7")
        );
        let values = [
            earliest.into(),
            self.name.into(),
            self.topic.into(),
            partition.into(),
            next.into(),
            lease.name().into(),
            lease.epoch().into(),
        ];
        if self.db.execute(self.db.writer(), sql, values).await? == 0 {
            return Ok(None);
        }
        self.parked.notify_one();
        Ok(Some(earliest))
    }

    /// Whether the record before `next` is the one we took last. With nothing taken yet there is no telling, unless there is
    /// nothing before it: then a log may have come whose first records we never saw.
    async fn same_log(
        &self,
        log: &PartitionLog,
        next: i64,
        earliest: i64,
        last: Option<FactId>,
    ) -> Result<bool, BusError> {
        if next == earliest {
            return Ok(true);
        }
        let Some(last) = last else { return Ok(false) };
        let records = log.fetch(next - 1, self.settings.fetch_wait).await?;
        let before = records.first().filter(|r| r.offset == next - 1);
        Ok(before.is_some_and(|r| record_id(&r.value) == last))
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

/// Does something that can be dropped at any time; `None` when the lease ended before.
async fn while_held<T>(lease: &Lease, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = lease.ended() => None,
        done = work => Some(done),
    }
}
