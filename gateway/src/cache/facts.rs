//! Follows catalog's facts on the log, from its end at the start of the process: each names an event that was changed.
//! Every replica reads all partitions for itself; nothing is remembered and nothing is owned. What is told while the log
//! cannot be read is caught up with where possible, and bounded by the age of what is kept where not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use common::bus::{Bus, BusError, Incoming};
use common::error::chain;
use common::fact::Fact;
use common::runtime::Shutdown;
use common::tables::PARTITIONS;
use common::telemetry::{self, Carrier};
use futures_util::future::join_all;

use super::Catalog;

/// Where catalog tells.
const TOPIC: &str = "eventix.catalog.v1";
/// Longest wait for the next record.
const POLL: Duration = Duration::from_secs(5);
/// Pause before a partition is opened again.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps `catalog` in step with the log until `shutdown`.
///
/// # Errors
/// None: without a log the cache only ages.
pub async fn follow(bus: Bus, catalog: Arc<Catalog>, shutdown: Shutdown) -> anyhow::Result<()> {
    let partitions = (0..PARTITIONS).map(|partition| {
        let follower = Follower { bus: &bus, catalog: &catalog, partition, next: None };
        follower.run()
    });
    tokio::select! {
        () = shutdown.cancelled() => {}
        _ = join_all(partitions) => {}
    }
    Ok(())
}

/// A reader of one partition.
struct Follower<'a> {
    bus: &'a Bus,
    catalog: &'a Catalog,
    partition: i32,
    /// Offset of the record to read next; `None` before the partition was opened for the first time.
    next: Option<i64>,
}

impl Follower<'_> {
    async fn run(mut self) -> Infallible {
        loop {
            let Err(error) = self.read().await;
            telemetry::count("eventix_cache_follow_failures", "gateway", TOPIC);
            tracing::debug!(partition = self.partition, error = %chain(&error), "catalog's facts cannot be read");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads until something fails.
    async fn read(&mut self) -> Result<Infallible, BusError> {
        let log = self.bus.open(TOPIC, self.partition).await?;
        let (earliest, end) = log.range().await?;
        let known = self.next.filter(|next| (earliest..=end).contains(next));
        let mut next = *self.next.insert(known.unwrap_or(end));
        // What was told since it could be read last may be gone, and what answers now may be another log.
        self.catalog.forget();
        loop {
            for record in log.fetch(next, POLL).await? {
                if record.offset > next {
                    self.catalog.forget();
                }
                self.take(&record).await;
                next = record.offset + 1;
                self.next = Some(next);
            }
            if log.end() < next {
                return Err(BusError::OutOfRange(next));
            }
        }
    }

    async fn take(&self, record: &Incoming) {
        match Fact::decode(&record.value, Carrier::new()) {
            // Whatever is told here is about the event it names; a kind that is not known yet is no exception.
            Ok(fact) => self.catalog.changed(&fact.aggregate_id.to_string()).await,
            Err(error) => {
                tracing::warn!(partition = self.partition, offset = record.offset, %error, "no fact of catalog");
                self.catalog.forget();
            }
        }
    }
}
