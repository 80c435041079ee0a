//! The relay: publishes committed facts in order per aggregate and marks them after the broker's acknowledgement.
//! It looks for unpublished rows, never for "id greater than the last": a slow transaction may commit an early row late.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use sea_orm::{DbErr, Value};

use super::{Outbox, OutboxRow};
use crate::bus::{Bus, BusError, Outgoing, Producer};
use crate::db::placeholders;
use crate::error::chain;
use crate::failpoint::{self, Step};
use crate::lease::{Lease, Leases, held_sql};
use crate::runtime::{Shutdown, long_after};
use crate::tables::PARTITIONS;
use crate::telemetry;

/// Facts published in one round.
const BATCH: u32 = 500;
/// Bytes of one produce request: brokers refuse a batch above 1 MiB unless told otherwise. Facts are at most 64 KiB.
const REQUEST_BYTES_MAX: usize = 512 * 1024;
/// How often the relay looks by itself: other processes cannot wake it.
const POLL: Duration = Duration::from_millis(250);
/// Pause after a failure; a partition that failed does not hold up the others.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a round waits for all its partitions; one whose broker does not answer goes on beside the next rounds.
const ROUND: Duration = Duration::from_millis(100);
/// How long a batch under way may take after the stop signal: a broker that does not answer is not waited for.
const FINISH: Duration = Duration::from_secs(2);
/// Rows stay as long as the topic keeps its records.
const RETENTION: chrono::Duration = chrono::Duration::days(7);

/// Publishes one outbox.
pub struct Relay {
    outbox: Outbox,
    bus: Bus,
    producer: Producer,
    leases: Arc<Leases>,
}

/// Name of the lease on one partition of an outbox.
pub fn lease_name(partition: i32) -> String {
    format!("relay:{partition}")
}

/// A partition that was published, or what hindered it.
type Published = (i32, Result<usize, PublishError>);

/// Partitions that are not looked at for now.
#[derive(Default)]
struct Underway<'a> {
    /// Being published.
    publishing: FuturesUnordered<BoxFuture<'a, Published>>,
    /// Which ones those are.
    busy: HashSet<i32>,
    /// Those that failed, and until when they rest.
    resting: HashMap<i32, Instant>,
}

impl Relay {
    /// A relay that publishes the partitions it has leases for.
    pub fn new(outbox: Outbox, bus: &Bus, leases: Arc<Leases>) -> Self {
        let producer = bus.producer(outbox.topic);
        Self { outbox, bus: bus.clone(), producer, leases }
    }

    /// Publishes until shutdown, and finishes what is under way. Stopping between the broker's acknowledgement and the
    /// mark publishes a fact twice, which consumers do not mind.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut underway = Underway::default();
        while !shutdown.is_cancelled() {
            let round = tokio::select! {
                round = self.round(&mut underway) => round,
                () = long_after(&shutdown, FINISH) => return Ok(()),
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.rest_after(round, &mut underway) => {}
            }
        }
        let rest = underway.publishing.for_each(|_| std::future::ready(()));
        if tokio::time::timeout(FINISH, rest).await.is_err() {
            tracing::info!("the broker does not answer; what it was given last will be published again");
        }
        Ok(())
    }

    /// A pause when nothing was left to do.
    async fn rest_after(&self, round: Result<usize, DbErr>, underway: &mut Underway<'_>) {
        let outcome = match round {
            Ok(0) => tokio::select! {
                () = self.outbox.wake.notified() => Ok(0),
                () = tokio::time::sleep(POLL) => Ok(0),
                Some(published) = underway.publishing.next() => self.take_in(published, underway).await,
            },
            other => other,
        };
        if let Err(error) = outcome {
            tracing::warn!(error = %chain(&error), "relay round failed");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Publishes what there is, up to a batch, of partitions that are not busy; returns how many facts it published.
    async fn round<'a>(&'a self, underway: &mut Underway<'a>) -> Result<usize, DbErr> {
        underway.resting.retain(|_, until| *until > Instant::now());
        let is_idle = |p: &i32| !underway.busy.contains(p) && !underway.resting.contains_key(p);
        let mine = |p: i32| Some((p, self.leases.get(&lease_name(p))?));
        let mut leases: BTreeMap<i32, Lease> = (0..PARTITIONS).filter(is_idle).filter_map(mine).collect();

        let mut shards: BTreeMap<i32, Vec<OutboxRow>> = BTreeMap::new();
        if !leases.is_empty() {
            for row in self.unpublished(&leases).await? {
                shards.entry(row.partition).or_default().push(row);
            }
        }
        for (partition, rows) in shards {
            let Some(lease) = leases.remove(&partition) else { continue };
            underway.busy.insert(partition);
            let publishing = async move { (partition, self.publish(partition, &lease, &rows).await) };
            underway.publishing.push(Box::pin(publishing));
        }
        self.finish(underway).await
    }

    /// Waits for what is under way, but not long; returns how many facts were published.
    async fn finish(&self, underway: &mut Underway<'_>) -> Result<usize, DbErr> {
        let mut count = 0;
        let end = tokio::time::Instant::now() + ROUND;
        while let Ok(Some(published)) = tokio::time::timeout_at(end, underway.publishing.next()).await {
            count += self.take_in(published, underway).await?;
        }
        Ok(count)
    }

    async fn take_in(&self, published: Published, underway: &mut Underway<'_>) -> Result<usize, DbErr> {
        let (partition, outcome) = published;
        underway.busy.remove(&partition);
        match outcome {
            Ok(count) => Ok(count),
            Err(PublishError::Db(error)) => Err(error),
            Err(PublishError::Bus(error)) => {
                tracing::warn!(partition, error = %chain(&error), "facts not published yet");
                underway.resting.insert(partition, Instant::now() + RETRY_PAUSE);
                self.mend_topic(&error).await;
                Ok(0)
            }
        }
    }

    /// A broker that lost its data lost the topic too.
    async fn mend_topic(&self, error: &BusError) {
        if error.is_unknown_topic()
            && let Err(error) = self.bus.ensure_topic(self.outbox.topic, PARTITIONS).await
        {
            tracing::warn!(topic = self.outbox.topic, error = %chain(&error), "the topic is not there");
        }
    }

    async fn unpublished(&self, leases: &BTreeMap<i32, Lease>) -> Result<Vec<OutboxRow>, DbErr> {
        let db = &self.outbox.db;
        let sql = format!(
            "SELECT position, id, aggregate_id, sequence, log_partition, kind, value, carrier, occurred_at FROM outbox
             WHERE published_at IS NULL AND log_partition IN ({}) ORDER BY position LIMIT {BATCH}",
            placeholders(leases.len(), 1)
        );
        let values = leases.keys().map(|p| (*p).into()).collect::<Vec<Value>>();
        db.query(db.reader(), sql, values).await?.iter().map(OutboxRow::read).collect()
    }

    /// Publishes one partition's rows in their order and marks them; returns how many.
    ///
    /// Positions of one aggregate grow with its sequences, because both are given under its row lock; a fact told once
    /// more keeps its old position.
    async fn publish(&self, partition: i32, lease: &Lease, rows: &[OutboxRow]) -> Result<usize, PublishError> {
        for request in requests(rows) {
            if lease.has_ended() {
                break;
            }
            let kinds = request.iter().map(|row| row.kind.as_str());
            let kept = request.iter().filter(|row| !failpoint::loses(Step::Publish, &row.kind));
            let records = kept.map(|row| self.record(row)).collect();
            failpoint::around(Step::Publish, kinds.clone(), self.producer.produce(partition, records)).await?;
            if failpoint::around(Step::MarkPublished, kinds, self.mark(lease, request)).await? == 0 {
                self.leases.lost(lease);
            }
        }
        Ok(rows.len())
    }

    async fn mark(&self, lease: &Lease, rows: &[OutboxRow]) -> Result<u64, DbErr> {
        let db = &self.outbox.db;
        let sql = format!(
            "UPDATE outbox SET published_at = {} WHERE {} AND position IN ({})",
            db.now_sql(),
            held_sql("$1", "$2"),
            placeholders(rows.len(), 3)
        );
        let mut values: Vec<Value> = vec![lease.name().into(), lease.epoch().into()];
        values.extend(rows.iter().map(|row| row.position.into()));
        db.execute(db.writer(), sql, values).await
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

/// Why a partition was not published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("the log failed")]
    Bus(#[from] BusError),
    #[error("the database failed")]
    Db(#[from] DbErr),
}

/// Cuts rows into produce requests that no broker finds too large.
fn requests(mut rows: &[OutboxRow]) -> Vec<&[OutboxRow]> {
    let mut requests = Vec::new();
    while !rows.is_empty() {
        let mut bytes = 0;
        let fits = rows.iter().take_while(|row| {
            bytes += row.value.len();
            bytes <= REQUEST_BYTES_MAX
        });
        let (request, rest) = rows.split_at(fits.count().max(1));
        requests.push(request);
        rows = rest;
    }
    requests
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
