//! One kind of value, kept in process and, where there is one, in Redis. However many ask for a value that is not there,
//! its service is asked once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::clock::Clock;
use common::telemetry;
use moka::Expiry;
use moka::future::Cache;

use super::generations::Generations;
use super::shared::{Found, Shared};
use crate::error::Fault;

/// Memory of an entry besides its value: key, counters, links.
const ENTRY_BYTES: usize = 256;

/// What can be kept.
pub trait Cached: Clone + Send + Sync + 'static {
    /// Its form in Redis.
    fn encode(&self) -> Bytes;

    /// Reads that form; `None` when it is none.
    fn decode(bytes: Bytes) -> Option<Self>;

    /// Roughly how much memory it takes, bytes.
    fn weight(&self) -> usize;
}

/// How much is kept, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Memory, bytes.
    pub bytes: u64,
    /// Nothing read longer ago is answered.
    pub age: Duration,
    /// The same for the knowledge that there is no such thing.
    pub absent_age: Duration,
}

/// What all kinds share.
#[derive(Clone)]
pub struct Ground {
    /// Tells how old things are.
    pub clock: Arc<dyn Clock>,
    /// What was changed when.
    pub generations: Arc<Generations>,
    /// The level in Redis.
    pub shared: Option<Arc<Shared>>,
}

/// Values of one kind, by name.
pub struct Level<V> {
    kind: &'static str,
    bounds: Bounds,
    ground: Ground,
    kept: Cache<(String, i64), Kept<V>>,
}

/// A value in process.
#[derive(Clone)]
struct Kept<V> {
    value: Option<V>,
    left: Duration,
}

/// Lets each value live for what is left of its time.
struct TimeLeft;

impl<V> Expiry<(String, i64), Kept<V>> for TimeLeft {
    fn expire_after_create(&self, _: &(String, i64), kept: &Kept<V>, _: Instant) -> Option<Duration> {
        Some(kept.left)
    }
}

impl<V: Cached> Level<V> {
    /// Nothing is kept yet; `kind` names it in metrics.
    pub fn new(kind: &'static str, bounds: Bounds, ground: Ground) -> Self {
        let weigh = |key: &(String, i64), kept: &Kept<V>| {
            let bytes = ENTRY_BYTES + key.0.len() + kept.value.as_ref().map_or(0, V::weight);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let kept = Cache::builder().max_capacity(bounds.bytes).weigher(weigh).expire_after(TimeLeft).build();
        Self { kind, bounds, ground, kept }
    }

    /// The value of a name under a tag, or that there is none; `read` asks its service.
    ///
    /// # Errors
    /// As `read` fails; failures are not kept.
    pub async fn get(
        &self,
        tag: &str,
        name: &str,
        read: impl Future<Output = Result<Option<V>, Fault>>,
    ) -> Result<Option<V>, Fault> {
        let key = (name.to_owned(), self.ground.generations.of(tag));
        let (generation, filling) = (key.1, self.kept.entry(key));
        // Boxed: resolvers hold this future inside theirs.
        let entry = Box::pin(filling.or_try_insert_with(self.fill(tag, name, generation, read))).await;
        let entry = entry.map_err(|fault: Arc<Fault>| Fault::clone(&fault))?;
        if !entry.is_fresh() {
            telemetry::count("eventix_cache_hits_in_process", "gateway", self.kind);
        }
        Ok(entry.into_value().value)
    }

    async fn fill(
        &self,
        tag: &str,
        name: &str,
        generation: i64,
        read: impl Future<Output = Result<Option<V>, Fault>>,
    ) -> Result<Kept<V>, Fault> {
        let look = match &self.ground.shared {
            Some(shared) => shared.look(tag, name).await,
            None => None,
        };
        if let Some(kept) = look.as_ref().and_then(|look| self.usable(look.found.as_ref()?, generation)) {
            telemetry::count("eventix_cache_hits_in_redis", "gateway", self.kind);
            return Ok(kept);
        }
        let read_at = self.ground.clock.now();
        let value = read.await?;
        telemetry::count("eventix_cache_misses", "gateway", self.kind);
        if let (Some(shared), Some(look)) = (&self.ground.shared, look) {
            shared.put(look, read_at, value.as_ref().map(V::encode), self.bounds.age).await;
        }
        // A read that took longer than its value may live is answered to those who wait for it, and kept for nobody else.
        let left = self.left(read_at, value.is_some()).unwrap_or_default();
        Ok(Kept { value, left })
    }

    /// A value from Redis, unless it is too old, or was read before something changed.
    fn usable(&self, found: &Found, generation: i64) -> Option<Kept<V>> {
        let left = self.left(found.read_at, found.payload.is_some())?;
        if found.read_at.timestamp_micros() <= generation {
            return None;
        }
        let value = match &found.payload {
            Some(payload) => Some(V::decode(payload.clone())?),
            None => None,
        };
        Some(Kept { value, left })
    }

    /// How long something read at an instant may still be answered; `None` when it is too old, or from the future.
    fn left(&self, read_at: DateTime<Utc>, present: bool) -> Option<Duration> {
        let age = (self.ground.clock.now() - read_at).to_std().ok()?;
        let bound = if present { self.bounds.age } else { self.bounds.absent_age };
        bound.checked_sub(age).filter(|left| !left.is_zero())
    }
}
