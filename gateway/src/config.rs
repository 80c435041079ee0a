//! Settings of the gateway, each with its unit and default.

use std::time::Duration;

use common::settings::{Fault, KafkaSettings, Peer, Process, Secret, Settings, broker_faults};
use serde::{Deserialize, Serialize};

use crate::{cache, rate_limit, redis};

/// Settings of the gateway: `EVENTIX_GATEWAY__…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Mode, addresses and trust.
    #[serde(flatten)]
    pub process: Process,
    /// Where catalog answers gRPC. Default `http://127.0.0.1:50051`.
    pub catalog: Peer,
    /// Where booking answers gRPC. Default `http://127.0.0.1:50052`.
    pub booking: Peer,
    /// Where payment answers gRPC. Default `http://127.0.0.1:50053`.
    pub payment: Peer,
    /// Time one request may take, from its last byte in to its first byte out. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// The same for a request whose body is over `limits.body_bytes`, which only an import may be. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub import_timeout: Duration,
    /// How long requests are still answered after the stop signal, while readiness is red, so that load balancers send
    /// new ones elsewhere before any is refused. Default 3 s in production, none in development.
    #[serde(with = "humantime_serde")]
    pub drain_delay: Option<Duration>,
    /// How long requests under way may take after that. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Secret that signs cursors, the same on every replica; empty takes a public one, good enough for development.
    pub cursor_key: Secret,
    /// Memory for seating plans kept between requests, bytes. Default 64 MiB.
    pub plan_cache_bytes: u64,
    /// Log on which catalog tells what it changed, `host:port,…`; empty: what is kept only ages.
    pub brokers: String,
    /// How the brokers are reached.
    pub kafka: KafkaSettings,
    /// What is kept of catalog between requests.
    pub cache: cache::Settings,
    /// What replicas share: kept reads and rate limits.
    pub redis: redis::Settings,
    /// How often one caller may ask.
    pub rate_limit: rate_limit::Settings,
    /// What a request may cost.
    pub limits: Limits,
}

/// Bounds of one request; what is over is refused before anything is executed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes of a body. Default 256 KiB.
    pub body_bytes: usize,
    /// Bytes of the body of an `importSeatingPlan` by an Admin. Default 32 MiB.
    pub import_body_bytes: usize,
    /// Lexical tokens of a document. Default 5,000.
    pub tokens: usize,
    /// Brackets open at once, so that the parser's stack is safe. Default 60.
    pub nesting: usize,
    /// Levels of fields, introspection aside. Default 12.
    pub depth: u64,
    /// Levels of fields inside `__schema` and `__type`. Default 20.
    pub introspection_depth: u64,
    /// Aliases, fragments counted where they are used. Default 50.
    pub aliases: u64,
    /// Root fields of a query. Default 20. A mutation has one.
    pub root_fields: u64,
    /// Directives, fragments counted where they are used. Default 20.
    pub directives: u64,
    /// Fields and fragment uses, fragments counted where they are used. Default 2,000.
    pub selections: u64,
    /// Fields that may be answered: those inside a list count once per row asked for, a seat map counts 500. Default 100,000.
    pub complexity: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            process: Process::on_loopback(8080, 8081),
            catalog: Peer::on_loopback(50051),
            booking: Peer::on_loopback(50052),
            payment: Peer::on_loopback(50053),
            request_timeout: Duration::from_secs(10),
            import_timeout: Duration::from_secs(60),
            drain_delay: None,
            drain: Duration::from_secs(10),
            cursor_key: Secret::default(),
            plan_cache_bytes: 64 * 1024 * 1024,
            brokers: String::new(),
            kafka: KafkaSettings::default(),
            cache: cache::Settings::default(),
            redis: redis::Settings::default(),
            rate_limit: rate_limit::Settings::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 256 * 1024,
            import_body_bytes: 32 * 1024 * 1024,
            tokens: 5_000,
            nesting: 60,
            depth: 12,
            introspection_depth: 20,
            aliases: 50,
            root_fields: 20,
            directives: 20,
            selections: 2_000,
            complexity: 100_000,
        }
    }
}

/// How long load balancers take to notice a red readiness, as they are set up by default.
const DRAIN_DELAY: Duration = Duration::from_secs(3);

/// Time beyond the drain for the server to end by itself.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

impl Config {
    /// How long the gateway may take to end once it was asked to.
    pub fn patience(&self) -> Duration {
        self.drain_delay() + self.drain + DRAIN_SLACK
    }

    pub(crate) fn drain_delay(&self) -> Duration {
        self.drain_delay.unwrap_or(if self.process.is_production() { DRAIN_DELAY } else { Duration::ZERO })
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "gateway";

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.process.faults();
        let public_key = self.process.is_production() && self.cursor_key.is_empty();
        let imports = self.limits.import_body_bytes < self.limits.body_bytes;
        faults.extend(Fault::found([
            (self.request_timeout.is_zero(), "request_timeout", "must be longer than nothing"),
            (self.import_timeout.is_zero(), "import_timeout", "must be longer than nothing"),
            (public_key, "cursor_key", "is missing: production does not sign with a public key"),
            (imports, "limits.import_body_bytes", "must not be below limits.body_bytes"),
        ]));
        if !self.brokers.is_empty() {
            faults.extend(broker_faults(&self.brokers));
            faults.extend(self.kafka.faults_inside("kafka", &self.process));
        }
        faults.extend(self.redis.faults_inside("redis", &self.process));
        faults.extend(self.rate_limit.faults_inside("rate_limit"));
        faults
    }
}

#[cfg(test)]
mod tests {
    use common::settings::Mode;

    use super::*;

    #[test]
    fn every_fault_of_the_settings_is_named_at_once() {
        let limits = Limits { import_body_bytes: 1, ..Limits::default() };
        let config = Config { limits, request_timeout: Duration::ZERO, ..Config::default() };

        let text = config.validate().unwrap_err().to_string();

        assert!(text.contains("LIMITS__IMPORT_BODY_BYTES") && text.contains("REQUEST_TIMEOUT"), "{text}");
        assert!(Config::default().validate().is_ok());
    }

    #[test]
    fn production_signs_cursors_with_a_key_of_its_own() {
        let process = Process { mode: Mode::Production, ..Config::default().process };
        let keys = |config: &Config| config.faults().into_iter().map(|fault| fault.key).collect::<Vec<_>>();

        let public = Config { process: process.clone(), ..Config::default() };
        let own = Config { process, cursor_key: "a secret".into(), ..Config::default() };

        assert_eq!(keys(&public), ["auth.issuer", "cursor_key"]);
        assert_eq!(keys(&own), ["auth.issuer"]);
    }
}
