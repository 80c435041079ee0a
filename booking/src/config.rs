//! Booking's settings: `EVENTIX_BOOKING__…`.

use std::time::Duration;

use common::settings::{DatabaseSettings, Fault, KafkaSettings, Peer, Process, Settings, broker_faults};
use serde::{Deserialize, Serialize};

use crate::domain::booking::Terms;

/// Longer than anything here may last.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Settings of the booking service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Mode, addresses and trust.
    #[serde(flatten)]
    pub process: Process,
    /// Bookings, claims and tickets.
    pub database: DatabaseSettings,
    /// Kafka-protocol brokers, `host:port,…`; default `127.0.0.1:50054`.
    pub brokers: String,
    /// How the brokers are reached.
    pub kafka: KafkaSettings,
    /// Where catalog answers; default `http://127.0.0.1:50051`.
    pub catalog: Peer,
    /// Where payment answers; default `http://127.0.0.1:50053`.
    pub payment: Peer,
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
            process: Process::on_loopback(50052, 50062),
            database: DatabaseSettings::at("sqlite://data/booking.db?mode=rwc"),
            brokers: "127.0.0.1:50054".into(),
            kafka: KafkaSettings::default(),
            catalog: Peer::on_loopback(50051),
            payment: Peer::on_loopback(50053),
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

impl Settings for Config {
    const SERVICE: &'static str = "booking";

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.process.faults();
        faults.extend(self.database.faults_inside("database", &self.process));
        faults.extend(self.kafka.faults_inside("kafka", &self.process));
        faults.extend(broker_faults(&self.brokers));
        for (name, value) in [
            ("hold", self.hold),
            ("grace", self.grace),
            ("sweep", self.sweep),
            ("lease", self.lease),
            ("waiting", self.waiting),
            ("fetch_wait", self.fetch_wait),
        ] {
            if value.is_zero() || value > DAY {
                faults.push(Fault::new(name, format!("is {value:?}, must be above zero and at most {DAY:?}")));
            }
        }
        if (Duration::from_nanos(1)..Duration::from_secs(1)).contains(&self.lease) {
            faults.push(Fault::new("lease", "must be at least 1s"));
        }
        faults
    }
}

impl Config {
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
        let config = Config {
            hold: Duration::ZERO,
            grace: DAY + Duration::from_secs(1),
            lease: Duration::from_millis(500),
            database: DatabaseSettings { connections: 0, ..DatabaseSettings::at("sqlite://x") },
            ..Config::default()
        };

        let faults = config.validate().unwrap_err().to_string();

        for line in [
            "LEASE: must be at least 1s",
            "HOLD: is 0ns",
            "GRACE: is 86401s",
            "DATABASE__CONNECTIONS: must be at least 1",
        ] {
            assert!(faults.contains(&format!("EVENTIX_BOOKING__{line}")), "{line}: {faults}");
        }
        assert!(!faults.contains("SWEEP"), "{faults}");
    }
}
