//! Payment's settings: `EVENTIX_PAYMENT__…`.

use std::time::Duration;

use common::settings::{DatabaseSettings, Fault, KafkaSettings, Peer, Process, Settings, broker_faults};
use serde::{Deserialize, Serialize};

use crate::application::steps::StepSettings;
use crate::domain::Patience;

/// How payment runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Mode, addresses and trust.
    #[serde(flatten)]
    pub process: Process,
    /// Payments, provider steps, refunds and the ledger.
    pub database: DatabaseSettings,
    /// Kafka-protocol brokers, `host:port,…`; `127.0.0.1:50054`.
    pub brokers: String,
    /// How the brokers are reached.
    pub kafka: KafkaSettings,
    /// Where booking answers; `http://127.0.0.1:50052`.
    pub booking: Peer,
    /// Who moves the money.
    pub provider: ProviderSettings,
    /// Pause before the provider is asked a second time; doubles; 200 ms.
    #[serde(with = "humantime_serde")]
    pub retry_first: Duration,
    /// Longest pause between two tries; 5 s.
    #[serde(with = "humantime_serde")]
    pub retry_longest: Duration,
    /// Refusals after which a void or refund is stuck and a person must look; 8.
    pub refusals_max: u32,
    /// How long a lease on a relay shard or partition lasts without renewal; 10 s.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How long a payment waits before it tells its last fact again and asks booking; 30 s.
    #[serde(with = "humantime_serde")]
    pub waiting: Duration,
}

/// The simulated provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderSettings {
    /// Its own ledger, a database apart from payment's.
    pub database: DatabaseSettings,
    /// Longest wait for one of its answers; 5 s.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self { database: DatabaseSettings::at("sqlite://data/provider.db?mode=rwc"), timeout: Duration::from_secs(5) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            process: Process::on_loopback(50053, 50063),
            database: DatabaseSettings::at("sqlite://data/payment.db?mode=rwc"),
            brokers: "127.0.0.1:50054".to_owned(),
            kafka: KafkaSettings::default(),
            booking: Peer::on_loopback(50052),
            provider: ProviderSettings::default(),
            retry_first: Duration::from_millis(200),
            retry_longest: Duration::from_secs(5),
            refusals_max: 8,
            lease: Duration::from_secs(10),
            waiting: Duration::from_secs(30),
        }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "payment";

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.process.faults();
        faults.extend(self.database.faults_inside("database", &self.process));
        faults.extend(self.provider.database.faults_inside("provider.database", &self.process));
        faults.extend(self.kafka.faults_inside("kafka", &self.process));
        faults.extend(broker_faults(&self.brokers));
        let second = Duration::from_secs(1);
        let shared = self.database.url.expose() == self.provider.database.url.expose();
        faults.extend(Fault::found([
            (shared, "provider.database.url", "must be a database of its own"),
            (self.provider.timeout.is_zero(), "provider.timeout", "must be longer than nothing"),
            (self.retry_first.is_zero(), "retry_first", "must be longer than nothing"),
            (self.retry_longest < self.retry_first, "retry_longest", "must not be shorter than retry_first"),
            (self.refusals_max == 0, "refusals_max", "must be at least 1"),
            (self.lease < second, "lease", "must be at least 1s"),
            (self.waiting < second, "waiting", "must be at least 1s"),
        ]));
        faults
    }
}

impl Config {
    /// How the provider is asked.
    pub fn steps(&self) -> StepSettings {
        StepSettings {
            provider_timeout: self.provider.timeout,
            patience: Patience {
                first: self.retry_first,
                longest: self.retry_longest,
                refusals_max: self.refusals_max,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().validate().is_ok());
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let wrong = Config { refusals_max: 0, waiting: Duration::ZERO, ..Config::default() };

        let faults = wrong.validate().unwrap_err().to_string();

        assert!(faults.contains("PAYMENT__REFUSALS_MAX") && faults.contains("PAYMENT__WAITING"), "{faults}");
    }
}
