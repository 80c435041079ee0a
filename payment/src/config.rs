//! Payment's settings: `EVENTIX_PAYMENT__…`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::application::steps::StepSettings;
use crate::domain::Patience;

/// How payment runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite://path?mode=rwc` or `postgres://…`.
    pub database_url: String,
    /// Connections to PostgreSQL at most.
    pub database_connections: u32,
    /// Brokers of the log, `host:port`, comma-separated.
    pub brokers: String,
    /// Where booking serves, `http://host:port`.
    pub booking_endpoint: String,
    /// The simulated provider's own ledger, a database apart from payment's.
    pub provider_database_url: String,
    /// Longest wait for one answer of the provider; 5 s.
    #[serde(with = "humantime_serde")]
    pub provider_timeout: Duration,
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

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: "sqlite://data/payment.db?mode=rwc".to_owned(),
            database_connections: 10,
            brokers: "127.0.0.1:50054".to_owned(),
            booking_endpoint: "http://127.0.0.1:50052".to_owned(),
            provider_database_url: "sqlite://data/provider.db?mode=rwc".to_owned(),
            provider_timeout: Duration::from_secs(5),
            retry_first: Duration::from_millis(200),
            retry_longest: Duration::from_secs(5),
            refusals_max: 8,
            lease: Duration::from_secs(10),
            waiting: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Every fault, in one message.
    pub fn validate(&self) -> anyhow::Result<()> {
        let faults: Vec<&str> = [
            (self.database_connections == 0, "database_connections must be at least 1"),
            (self.provider_timeout.is_zero(), "provider_timeout must be longer than nothing"),
            (self.retry_first.is_zero(), "retry_first must be longer than nothing"),
            (self.retry_longest < self.retry_first, "retry_longest must not be shorter than retry_first"),
            (self.refusals_max == 0, "refusals_max must be at least 1"),
            (self.lease < Duration::from_secs(1), "lease must be at least 1s"),
            (self.waiting < Duration::from_secs(1), "waiting must be at least 1s"),
            (self.database_url == self.provider_database_url, "provider_database_url must be a database of its own"),
        ]
        .into_iter()
        .filter_map(|(wrong, fault)| wrong.then_some(fault))
        .collect();
        anyhow::ensure!(faults.is_empty(), "settings of payment: {}", faults.join("; "));
        Ok(())
    }

    /// How the provider is asked.
    pub fn steps(&self) -> StepSettings {
        StepSettings {
            provider_timeout: self.provider_timeout,
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

        assert!(faults.contains("refusals_max") && faults.contains("waiting"), "{faults}");
    }
}
