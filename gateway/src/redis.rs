//! Redis, as a helper that may fail: what cannot be had from it in [`Settings::timeout`] is a miss, never an error.
//! After a failure it is left alone for `REST_MS`, so that a frozen one costs one request its timeout now and then, not each.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use common::settings::{Fault, Process, Secret};
use common::telemetry;
use fred::clients::WithOptions;
use fred::prelude::{
    Builder, Client, ClientLike, Config, Error, ErrorKind, Expiration, FromValue, KeysInterface, LuaInterface, Options,
    ReconnectPolicy, Value,
};
use fred::types::RespVersion;
use fred::types::config::UnresponsiveConfig;
use serde::{Deserialize, Serialize};

/// How long it is left alone after a failure, milliseconds; then one command tries.
const REST_MS: u64 = 1_000;
/// Longest a connection may take, its greeting aside.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest the greeting of a connection may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that owes an answer for this long is given up.
const UNRESPONSIVE: Duration = Duration::from_secs(2);
/// Pauses between attempts to connect, milliseconds; they double, and never end.
const RECONNECT_MS: (u32, u32) = (100, 2_000);
/// Commands that may wait; more fail at once.
const COMMANDS_MAX: usize = 10_000;

/// Where Redis is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `redis://[user:password@]host:port[/database]`, `rediss://` for TLS; empty: none, everything stays in process.
    pub url: Secret,
    /// Longest one command may take, waiting for its turn included. Default 50 ms.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { url: Secret::default(), timeout: Duration::from_millis(50) }
    }
}

impl Settings {
    /// Checks what types cannot; named as settings of this section.
    pub fn faults_inside(&self, section: &str, process: &Process) -> Vec<Fault> {
        let (url, encrypted) = (self.url.expose(), self.url.expose().starts_with("rediss://"));
        let readable = (encrypted || url.starts_with("redis://")) && Config::from_url(url).is_ok();
        let used = !url.is_empty();
        let found = Fault::found([
            (used && !readable, "url", "must be an address such as redis://127.0.0.1:6379"),
            (
                used && readable && process.sealed() && !encrypted,
                "url",
                "must be rediss:// in production, or ALLOW_PLAINTEXT=true",
            ),
            (self.timeout.is_zero(), "timeout", "must be longer than nothing"),
        ]);
        found.map(|fault| fault.inside(section)).collect()
    }
}

/// A connection to Redis, shared by all requests.
pub struct Redis {
    client: WithOptions<Client>,
    started: Instant,
    rest: Rest,
}

impl Redis {
    /// Connects in the background, again and again; `None` when no Redis is configured.
    ///
    /// # Errors
    /// An address that cannot be read.
    pub fn connect(settings: &Settings) -> anyhow::Result<Option<Arc<Self>>> {
        if settings.url.is_empty() {
            return Ok(None);
        }
        let mut config = Config::from_url(settings.url.expose()).context("redis.url")?;
        config.version = RespVersion::RESP3;
        // A Redis that is not there yet is looked for, like one that went away.
        config.fail_fast = false;
        let client = Builder::from_config(config)
            .with_performance_config(|performance| performance.default_command_timeout = settings.timeout)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = GREETING_TIMEOUT;
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = COMMANDS_MAX;
                connection.tcp.nodelay = Some(true);
                let (max_timeout, interval) = (Some(UNRESPONSIVE), UNRESPONSIVE / 4);
                connection.unresponsive = UnresponsiveConfig { max_timeout, interval };
            })
            .set_policy(ReconnectPolicy::new_exponential(0, RECONNECT_MS.0, RECONNECT_MS.1, 2))
            .build()
            .context("redis")?;
        client.connect();
        // While there is no connection a command fails at once instead of waiting for one.
        let at_once = Options { fail_fast: true, timeout: Some(settings.timeout), ..Options::default() };
        let client = client.with_options(&at_once);
        Ok(Some(Arc::new(Self { client, started: Instant::now(), rest: Rest::default() })))
    }

    /// Runs a script; `None` when there is no answer, or not the kind of answer asked for.
    pub async fn run<T: FromValue>(&self, script: &'static str, keys: Vec<String>, args: Vec<Value>) -> Option<T> {
        self.attempt(Box::pin(self.client.eval(script, keys, args))).await
    }

    /// Stores a value for a while; `false` when it may not be there.
    pub async fn put(&self, key: String, value: Bytes, kept: Duration) -> bool {
        let expiry = Expiration::PX(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX).max(1));
        let command = self.client.set::<(), _, _>(key, value, Some(expiry), None, false);
        self.attempt(Box::pin(command)).await.is_some()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The client's futures are large, so they come boxed: whoever waits for Redis is held by many others.
    async fn attempt<T>(&self, command: Pin<Box<impl Future<Output = Result<T, Error>>>>) -> Option<T> {
        if !self.rest.is_over(self.now_ms()) {
            telemetry::count("eventix_redis_commands", "gateway", "left_out");
            return None;
        }
        match command.await {
            Ok(answer) => {
                if self.rest.end() {
                    tracing::info!("Redis answers again");
                }
                Some(answer)
            }
            Err(error) if is_about_one_key(&error) => {
                telemetry::count("eventix_redis_commands", "gateway", "unusable");
                tracing::debug!(%error, "an answer of Redis cannot be used");
                None
            }
            Err(error) => {
                telemetry::count("eventix_redis_commands", "gateway", "failed");
                if self.rest.begin(self.now_ms()) {
                    tracing::warn!(%error, "Redis fails; doing without it until it answers again");
                }
                None
            }
        }
    }
}

/// Whether Redis works and only this answer is of no use, for instance because somebody wrote another type there.
fn is_about_one_key(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Parse | ErrorKind::InvalidArgument | ErrorKind::NotFound)
}

/// Until when nothing is asked, in milliseconds since the start; 0: no rest.
#[derive(Default)]
struct Rest(AtomicU64);

impl Rest {
    /// Whether a command may be sent. Once a rest has run out exactly one may, which begins the next rest; all others
    /// wait for how it fares.
    fn is_over(&self, now_ms: u64) -> bool {
        let until = self.0.load(Ordering::Relaxed);
        until == 0
            || now_ms >= until
                && self.0.compare_exchange(until, now_ms + REST_MS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Begins a rest; `false` when it goes on from another.
    fn begin(&self, now_ms: u64) -> bool {
        self.0.swap(now_ms + REST_MS, Ordering::Relaxed) == 0
    }

    /// Ends a rest, if there is one.
    fn end(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0 && self.0.swap(0, Ordering::Relaxed) != 0
    }
}

#[cfg(test)]
mod tests {
    use common::settings::Mode;

    use super::*;

    #[test]
    fn after_a_failure_one_command_tries_per_rest() {
        let rest = Rest::default();
        assert!(rest.is_over(5) && rest.is_over(5));

        assert!(rest.begin(5), "a new rest");
        for n in 0..3 {
            let end = 5 + (n + 1) * REST_MS;
            assert!(!rest.is_over(end - 1));
            assert!(rest.is_over(end), "one tries");
            assert!(!rest.is_over(end), "the others wait for it");
        }

        assert!(!rest.begin(9) && rest.end() && !rest.end());
        assert!(rest.is_over(6) && rest.is_over(6));
    }

    #[test]
    fn an_address_is_checked_and_never_shown() {
        let keys = |url: &str, mode| {
            let settings = Settings { url: url.into(), ..Settings::default() };
            assert!(!format!("{settings:?}").contains("secret"));
            let faults = settings.faults_inside("redis", &Process { mode, ..Process::on_loopback(0, 0) });
            assert!(faults.iter().all(|fault| !fault.wrong.contains("secret")));
            faults.into_iter().map(|fault| fault.key).collect::<Vec<_>>()
        };

        for good in ["", "redis://:secret@127.0.0.1:6379/2", "rediss://cache.example:6380"] {
            assert!(keys(good, Mode::Development).is_empty(), "{good}");
        }
        for bad in ["http://:secret@nowhere", "redis", "redis://:secret@host:port"] {
            assert_eq!(keys(bad, Mode::Development), ["redis.url"], "{bad}");
        }
        assert_eq!(keys("redis://cache.example:6379", Mode::Production), ["redis.url"]);
        assert!(keys("rediss://cache.example:6379", Mode::Production).is_empty());
    }
}
