//! How often one caller may ask: per subject when a token was shown, else per client address. Replicas share the count in
//! Redis; in process each keeps its own as well, which bounds what a replica lets through while Redis is of no use.

pub mod address;
mod gcra;
mod local;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::settings::Fault;
use common::telemetry;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::redis::Redis;
use gcra::Pace;
use local::Local;

/// Counts a request at Redis' own time. Answers 0, or how many microseconds too early it is. A stored value that cannot
/// be (no number, or further ahead than a full burst) is started anew.
const COUNT: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = redis.pcall('GET', KEYS[1])
due = type(due) == 'string' and tonumber(due) or 0
if due ~= due or due < now or due > now + burst then due = now end
local early = due + interval - now - burst
if early > 0 then return math.ceil(early) end
redis.call('SET', KEYS[1], string.format('%.0f', due + interval), 'PX', math.ceil((due + interval - now) / 1000))
return 0";

/// Largest rate and burst.
const NUMBER_MAX: u32 = 1_000_000;

/// How often one caller may ask.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Whether anything is limited. Default: in production only.
    pub enabled: Option<bool>,
    /// Requests with a token that are no mutations, per subject. Default 20 per second, 100 at once.
    pub reads: Rate,
    /// Mutations, per subject. Default 10 per second, 50 at once.
    pub mutations: Rate,
    /// Requests without a token, or with a bad one, per client address. Default 50 per second, 200 at once.
    pub address: Rate,
    /// Proxies between clients and us whose `X-Forwarded-For` is believed; 0: the address of the connection counts. Default 0.
    pub trusted_proxies: usize,
}

/// A steady rate and how far it may be exceeded for a moment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rate {
    /// Requests per second in the long run, 1 to 1,000,000.
    pub per_second: u32,
    /// Requests at once, 1 to 1,000,000.
    pub burst: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: None,
            reads: Rate { per_second: 20, burst: 100 },
            mutations: Rate { per_second: 10, burst: 50 },
            address: Rate { per_second: 50, burst: 200 },
            trusted_proxies: 0,
        }
    }
}

impl Settings {
    /// Checks what types cannot; named as settings of this section.
    pub fn faults_inside(&self, section: &str) -> Vec<Fault> {
        let rates = [("reads", self.reads), ("mutations", self.mutations), ("address", self.address)];
        let numbers = rates.into_iter().flat_map(|(name, rate)| {
            [(format!("{name}.per_second"), rate.per_second), (format!("{name}.burst"), rate.burst)]
        });
        let wrong = numbers.filter(|(_, number)| !(1..=NUMBER_MAX).contains(number));
        wrong.map(|(key, _)| Fault::new(key, format!("must be 1 to {NUMBER_MAX}")).inside(section)).collect()
    }
}

/// What one request counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// Anything but a mutation, by a subject.
    Read(&'a str),
    /// A mutation, by a subject.
    Mutation(&'a str),
    /// Anything, from an address.
    From(IpAddr),
}

/// Too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// After this time it may be tried again.
    pub retry_after: Duration,
}

/// Lets requests through, or not.
pub struct Limiter {
    limits: Option<Limits>,
    redis: Option<Arc<Redis>>,
}

struct Limits {
    reads: Pace,
    mutations: Pace,
    address: Pace,
    started: Instant,
    local: Local,
}

impl Limiter {
    /// A limiter that counts in process, and with all replicas where there is a Redis.
    pub fn new(settings: &Settings, in_production: bool, redis: Option<Arc<Redis>>) -> Self {
        let limits = settings.enabled.unwrap_or(in_production).then(|| Limits {
            reads: Pace::of(settings.reads),
            mutations: Pace::of(settings.mutations),
            address: Pace::of(settings.address),
            started: Instant::now(),
            local: Local::new(),
        });
        Self { limits, redis }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// It is one too many; it was not counted.
    pub async fn admit(&self, asked: Asked<'_>) -> Result<(), TooOften> {
        let Some(limits) = &self.limits else { return Ok(()) };
        let (class, who, pace) = match asked {
            Asked::Read(subject) => ("reads", subject.to_owned(), limits.reads),
            Asked::Mutation(subject) => ("mutations", subject.to_owned(), limits.mutations),
            Asked::From(address) => ("address", address::network(address).to_string(), limits.address),
        };
        let key = key(class, &who);
        // A replica never sees more than all of them, so what is too much here needs no question.
        let now_micros = u64::try_from(limits.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let early_micros = match limits.local.count(&key, pace, now_micros).await {
            0 => self.count_together(key, pace).await,
            early => early,
        };
        if early_micros == 0 {
            telemetry::count("eventix_rate_limit_admitted", "gateway", class);
            return Ok(());
        }
        telemetry::count("eventix_rate_limit_refused", "gateway", class);
        Err(TooOften { retry_after: Duration::from_micros(early_micros) })
    }

    /// Counts with the other replicas; without an answer the own count stands.
    async fn count_together(&self, key: String, pace: Pace) -> u64 {
        let Some(redis) = &self.redis else { return 0 };
        let args = vec![pace.interval_arg().into(), pace.burst_arg().into()];
        let early: Option<i64> = redis.run(COUNT, vec![key], args).await;
        // An answer that no honest count can give is none.
        early.and_then(|early| u64::try_from(early).ok()).filter(|early| *early <= pace.interval_micros).unwrap_or(0)
    }
}

/// Subjects may be names or addresses of people, so only their hash leaves the process.
fn key(class: &str, who: &str) -> String {
    let hash = digest(&SHA256, format!("{class}\0{who}").as_bytes());
    format!("eventix:limit:{}", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))
}
