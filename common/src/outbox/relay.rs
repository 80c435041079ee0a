//! The relay: publishes committed facts in order per aggregate and marks them after the broker's acknowledgement.
//! It looks for unpublished rows, never for "id greater than the last": a slow transaction may commit an early row late.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
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

/// Partitions that failed, and until when they rest.
type Resting = HashMap<i32, Instant>;

impl Relay {
    /// A relay that publishes the partitions it has leases for.
    pub fn new(outbox: Outbox, bus: &Bus, leases: Arc<Leases>) -> Self {
        let producer = bus.producer(outbox.topic);
        Self { outbox, bus: bus.clone(), producer, leases }
    }

    /// Publishes until shutdown, and finishes the batch under way. Stopping between the broker's acknowledgement and the
    /// mark publishes a fact twice, which consumers do not mind.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut resting = Resting::new();
        while !shutdown.is_cancelled() {
            let round = tokio::select! {
                round = self.round(&mut resting) => round,
                () = long_after(&shutdown, FINISH) => break,
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.rest_after(round) => {}
            }
        }
        Ok(())
    }

    /// A pause when nothing was left to do.
    async fn rest_after(&self, round: Result<usize, DbErr>) {
        match round {
            Ok(0) => {
                tokio::select! {
                    () = self.outbox.wake.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                }
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), "relay round failed");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Publishes what there is, up to a batch; returns how many.
    async fn round(&self, resting: &mut Resting) -> Result<usize, DbErr> {
        resting.retain(|_, until| *until > Instant::now());
        let mine = |p: i32| Some((p, self.leases.get(&lease_name(p))?));
        let leases: BTreeMap<i32, Lease> =
            (0..PARTITIONS).filter(|p| !resting.contains_key(p)).filter_map(mine).collect();
        if leases.is_empty() {
            return Ok(0);
        }
        let mut shards: BTreeMap<i32, Vec<OutboxRow>> = BTreeMap::new();
        for row in self.unpublished(&leases).await? {
            shards.entry(row.partition).or_default().push(row);
        }
        let publishing = shards.into_iter().map(|(partition, rows)| {
            let lease = &leases[&partition];
            async move { (partition, self.publish(partition, lease, &rows).await) }
        });
        let mut published = 0;
        for (partition, outcome) in join_all(publishing).await {
            match outcome {
                Ok(count) => published += count,
                Err(PublishError::Db(error)) => return Err(error),
                Err(PublishError::Bus(error)) => {
                    tracing::warn!(partition, error = %chain(&error), "facts not published yet");
                    resting.insert(partition, Instant::now() + RETRY_PAUSE);
                    self.mend_topic(&error).await;
                }
            }
        }
        Ok(published)
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
