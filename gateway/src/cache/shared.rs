//! The level that replicas share, in Redis. A tag's generation lies there beside its values: a random word, replaced when
//! something about the tag changes. A value counts only with the generation that its reader found *before* it read, so a
//! read that was under way during a change leaves nothing behind, and an evicted or flushed generation never comes back.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::envelope::{Envelope, Seal};
use crate::redis::Redis;

/// How long a generation lies there unless it is renewed: as long as the values that never change. Its end is a miss for
/// all its values.
const GENERATION_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest value, bytes; what is larger is read from its service by each replica.
const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Random bytes of a generation.
const GENERATION_BYTES: usize = 16;

/// Returns a tag's generation, made where it is missing or unreadable, and the value.
const LOOK: &str = "
local generation = redis.pcall('GET', KEYS[1])
if type(generation) ~= 'string' or #generation ~= #ARGV[1] or not generation:match('^[%w_-]+$') then
  generation = ARGV[1]
  redis.call('SET', KEYS[1], generation, 'PX', ARGV[2])
end
local value = redis.pcall('GET', KEYS[2])
if type(value) ~= 'string' then value = false end
return {generation, value}";

/// The contracts that values are encoded by are part of every key: replicas of two versions share no values, because
/// the older one would drop the fields it does not know.
static CONTRACTS: LazyLock<String> =
    LazyLock::new(|| URL_SAFE_NO_PAD.encode(&digest(&SHA256, common::proto::DESCRIPTORS).as_ref()[..6]));

/// Values in Redis.
pub struct Shared {
    redis: Arc<Redis>,
    seal: Seal,
    random: SystemRandom,
}

/// What a look found.
pub struct Look {
    key: String,
    generation: String,
    /// A value that belongs to the key and its present generation.
    pub found: Option<Found>,
}

/// A value that was found.
pub struct Found {
    /// When reading it began.
    pub read_at: DateTime<Utc>,
    /// The encoded value; `None` when there is no such thing.
    pub payload: Option<Bytes>,
}

impl Shared {
    /// Values sealed with a secret that all replicas share.
    pub fn new(redis: Arc<Redis>, secret: &str) -> Self {
        Self { redis, seal: Seal::new(secret), random: SystemRandom::new() }
    }

    /// Looks for a value; `None` when Redis is of no use now.
    pub async fn look(&self, tag: &str, name: &str) -> Option<Look> {
        let key = value_key(tag, name);
        let keys = vec![generation_key(tag), key.clone()];
        let kept = i64::try_from(GENERATION_KEPT.as_millis()).unwrap_or(i64::MAX);
        let args = vec![self.new_generation()?.into(), kept.into()];
        let (generation, value): (String, Option<Bytes>) = self.redis.run(LOOK, keys, args).await?;
        let envelope = value.and_then(|bytes| self.seal.open(&key, &bytes)).filter(|e| e.generation == generation);
        let found = envelope.and_then(|envelope| {
            let read_at = DateTime::from_timestamp_micros(envelope.read_at)?;
            Some(Found { read_at, payload: envelope.payload })
        });
        Some(Look { key, generation, found })
    }

    /// Stores what was read since a look. `kept` bounds memory; how old a value may be is for its readers to judge.
    pub async fn put(&self, look: Look, read_at: DateTime<Utc>, payload: Option<Bytes>, kept: Duration) {
        if payload.as_ref().is_some_and(|payload| payload.len() > VALUE_BYTES_MAX) {
            return;
        }
        let envelope = Envelope { generation: look.generation, read_at: read_at.timestamp_micros(), payload };
        let sealed = self.seal.close(&look.key, &envelope);
        self.redis.put(look.key, sealed, kept).await;
    }

    /// Makes all values of a tag worthless.
    pub async fn renew(&self, tag: &str) {
        if let Some(generation) = self.new_generation() {
            self.redis.put(generation_key(tag), generation.into(), GENERATION_KEPT).await;
        }
    }

    fn new_generation(&self) -> Option<String> {
        let mut bytes = [0; GENERATION_BYTES];
        self.random.fill(&mut bytes).ok()?;
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The braces keep a tag's keys on one node of a cluster.
fn generation_key(tag: &str) -> String {
    format!("eventix:{}:{{{tag}}}", *CONTRACTS)
}

fn value_key(tag: &str, name: &str) -> String {
    format!("{}:{name}", generation_key(tag))
}
