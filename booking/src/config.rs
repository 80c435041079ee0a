//! Booking's settings: `EVENTIX_BOOKING__…`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::booking::Terms;

/// Settings of the booking service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `sqlite://FILE?mode=rwc` or `postgres://…`.
    pub database_url: String,
    /// Most connections to PostgreSQL; default 16.
    pub database_connections: u32,
    /// Kafka brokers, comma-separated `host:port`.
    pub brokers: String,
    /// Catalog's gRPC address, `http://host:port`.
    pub catalog_endpoint: String,
    /// Payment's gRPC address, `http://host:port`.
    pub payment_endpoint: String,
    /// How long a hold lasts; default 10 minutes.
    #[serde(with = "humantime_serde")]
    pub hold: Duration,
    /// How much longer it lasts, once, while it is being paid; default 2 minutes.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How often lapsed holds are looked for; default 1 second.
    #[serde(with = "humantime_serde")]
    pub sweep: Duration,
    /// How long a lease lasts without renewal; default 10 seconds.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// After how long an unanswered question is asked again; default 30 seconds.
    #[serde(with = "humantime_serde")]
    pub waiting: Duration,
    /// Longest wait of one fetch from the log; default 2 s.
    #[serde(with = "humantime_serde")]
    pub fetch_wait: Duration,
    /// Whether payment tokens must be the simulated provider's test tokens; default true.
    pub test_tokens_only: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: "sqlite://data/booking.db?mode=rwc".into(),
            database_connections: 16,
            brokers: "127.0.0.1:50054".into(),
            catalog_endpoint: "http://127.0.0.1:50051".into(),
            payment_endpoint: "http://127.0.0.1:50053".into(),
            hold: Duration::from_secs(600),
            grace: Duration::from_secs(120),
            sweep: Duration::from_secs(1),
            lease: Duration::from_secs(10),
            waiting: Duration::from_secs(30),
            fetch_wait: Duration::from_secs(2),
            test_tokens_only: true,
        }
    }
}

impl Config {
    /// Reports every fault at once.
    ///
    /// # Errors
    /// A duration that would never or always be over; no connections.
    pub fn validate(&self) -> anyhow::Result<()> {
        let day = Duration::from_secs(24 * 3600);
        let mut faults: Vec<String> = [
            ("hold", self.hold, day),
            ("grace", self.grace, day),
            ("sweep", self.sweep, day),
            ("lease", self.lease, day),
            ("waiting", self.waiting, day),
            ("fetch_wait", self.fetch_wait, day),
        ]
        .into_iter()
        .filter(|(_, value, most)| value.is_zero() || value > most)
        .map(|(name, value, most)| format!("{name} is {value:?}, must be above zero and at most {most:?}"))
        .collect();
        if self.database_connections == 0 {
            faults.push("database_connections is 0, must be above zero".to_owned());
        }
        anyhow::ensure!(faults.is_empty(), "settings of booking: {}", faults.join("; "));
        Ok(())
    }

    pub(crate) fn terms(&self) -> Terms {
        Terms {
            hold: chrono::Duration::from_std(self.hold).unwrap_or(chrono::Duration::MAX),
            grace: chrono::Duration::from_std(self.grace).unwrap_or(chrono::Duration::MAX),
            test_tokens_only: self.test_tokens_only,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        Config::default().validate().unwrap();

        assert_eq!(Config::default().terms().hold, chrono::Duration::minutes(10));
        assert_eq!(Config::default().terms().grace, chrono::Duration::minutes(2));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let day = Duration::from_secs(24 * 3600);
        let config = Config {
            hold: Duration::ZERO,
            grace: day + Duration::from_secs(1),
            database_connections: 0,
            ..Config::default()
        };

        let faults = config.validate().unwrap_err().to_string();

        for name in ["hold is 0ns", "grace is 86401s", "database_connections is 0"] {
            assert!(faults.contains(name), "{name}: {faults}");
        }
        assert!(!faults.contains("sweep"), "{faults}");
    }
}
