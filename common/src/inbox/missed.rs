//! Facts that the log never brought although their producer counts them as published. Nothing waits for the last fact of an
//! aggregate, so now and then what was published is compared with what was taken here, and what is missing is asked for.
//!
//! A consumer that is behind misses nothing yet: partitions are compared only when they were read to the log's end after
//! everything compared was published.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use sea_orm::{DbErr, Value};
use uuid::Uuid;

use super::{Consumer, lease_name};
use crate::db::placeholders;
use crate::outbox::partition_of;
use crate::runtime::Shutdown;
use crate::tables::PARTITIONS;
use crate::telemetry;

/// When each partition was last read to the log's end by this process.
#[derive(Default)]
pub(super) struct ReadToEnd(Mutex<BTreeMap<i32, Instant>>);

impl ReadToEnd {
    /// Notes that there is nothing more in a partition for now.
    pub(super) fn note(&self, partition: i32) {
        self.lock().insert(partition, Instant::now());
    }

    fn is_newer(&self, partition: i32, than: Duration) -> bool {
        self.lock().get(&partition).is_some_and(|at| at.elapsed() < than)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Instant>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// How far a comparison came, for the partitions that this process reads. Whoever gets a partition begins anew.
#[derive(Default)]
struct Comparison {
    cursor: String,
    /// Partition and epoch of its lease.
    partitions: BTreeMap<i32, i64>,
}

impl Consumer {
    /// Compares until shutdown.
    pub async fn run_comparison(self: Arc<Self>, shutdown: Shutdown) -> anyhow::Result<()> {
        let mut comparison = Comparison::default();
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.settings.waiting) => {}
            }
            if let Err(error) = self.compare(&mut comparison).await {
                let (consumer, producer) = (self.name, self.producer);
                tracing::warn!(consumer, producer, error = format!("{error:#}"), "facts not compared, trying again");
            }
        }
        Ok(())
    }

    async fn compare(&self, comparison: &mut Comparison) -> anyhow::Result<()> {
        let mine = |p| Some((p, self.leases.get(&lease_name(self.topic, p))?.epoch()));
        let partitions: BTreeMap<i32, i64> = (0..PARTITIONS).filter_map(mine).collect();
        if partitions != comparison.partitions {
            *comparison = Comparison { cursor: String::new(), partitions };
        }
        // A fetch at the log's end takes its time, so that the end was last seen up to two of them ago.
        let settled_for = self.settings.waiting + self.settings.fetch_wait * 2;
        let mut read = comparison.partitions.keys();
        if comparison.partitions.is_empty() || !read.all(|p| self.read_to_end.is_newer(*p, settled_for)) {
            return Ok(());
        }
        loop {
            let page = self.source.heads(&comparison.cursor, settled_for).await?;
            let ours = |(id, _): &(Uuid, i64)| comparison.partitions.contains_key(&partition_of(*id));
            let ours: Vec<(Uuid, i64)> = page.heads.into_iter().filter(ours).collect();
            for aggregate in self.behind(&ours).await? {
                tracing::warn!(consumer = self.name, producer = self.producer, %aggregate, "the log lost a fact: asking for it");
                telemetry::count("eventix_facts_missed", self.name, self.producer);
                self.ask(aggregate).await?;
            }
            comparison.cursor = page.cursor;
            if !page.has_more {
                return Ok(());
            }
        }
    }

    /// Aggregates of which less was taken here than these heads say.
    async fn behind(&self, heads: &[(Uuid, i64)]) -> Result<Vec<Uuid>, DbErr> {
        let mut behind = Vec::new();
        for heads in heads.chunks(super::AGGREGATES_MAX) {
            let sql = format!(
                "SELECT aggregate_id, sequence FROM watermarks WHERE consumer = $1 AND producer = $2 AND aggregate_id IN ({})",
                placeholders(heads.len(), 3)
            );
            let mut values: Vec<Value> = vec![self.name.into(), self.producer.into()];
            values.extend(heads.iter().map(|(aggregate, _)| Value::from(*aggregate)));
            let mut taken = BTreeMap::new();
            for row in self.db.query(self.db.reader(), sql, values).await? {
                taken.insert(row.try_get::<Uuid>("", "aggregate_id")?, row.try_get::<i64>("", "sequence")?);
            }
            let is_behind = |(id, head): &&(Uuid, i64)| taken.get(id).is_none_or(|sequence| sequence < head);
            behind.extend(heads.iter().filter(is_behind).map(|(id, _)| *id));
        }
        Ok(behind)
    }
}
