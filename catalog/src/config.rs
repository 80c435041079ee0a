//! Settings of catalog: defaults here, then a TOML file, then `EVENTIX_CATALOG__…`.

use std::time::Duration;

use common::settings::{DatabaseSettings, Fault, KafkaSettings, Peer, Process, Settings, broker_faults};
use serde::{Deserialize, Serialize};

/// Settings of catalog.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Mode, addresses and trust.
    #[serde(flatten)]
    pub process: Process,
    /// Venues, plans, events and offers.
    pub database: DatabaseSettings,
    /// Kafka-protocol brokers, `host:port,…`. Default `127.0.0.1:50054`.
    pub brokers: String,
    /// How the brokers are reached.
    pub kafka: KafkaSettings,
    /// Where booking answers. Default `http://127.0.0.1:50052`.
    pub booking: Peer,
    /// How long a lease on a relay shard lasts unless renewed. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            process: Process::on_loopback(50051, 50061),
            database: DatabaseSettings::at("sqlite://data/catalog.db?mode=rwc"),
            brokers: "127.0.0.1:50054".into(),
            kafka: KafkaSettings::default(),
            booking: Peer::on_loopback(50052),
            lease: Duration::from_secs(10),
        }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "catalog";

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.process.faults();
        faults.extend(self.database.faults_inside("database", &self.process));
        faults.extend(self.kafka.faults_inside("kafka", &self.process));
        faults.extend(broker_faults(&self.brokers));
        if self.lease < Duration::from_secs(1) {
            faults.push(Fault::new("lease", "must be at least 1s"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good_and_every_fault_is_listed() {
        let bad = Config { database: DatabaseSettings::at("mysql://x"), lease: Duration::ZERO, ..Config::default() };

        assert!(Config::default().validate().is_ok());
        let message = bad.validate().unwrap_err().to_string();
        assert!(message.contains("EVENTIX_CATALOG__DATABASE__URL"), "{message}");
        assert!(message.contains("EVENTIX_CATALOG__LEASE"), "{message}");
    }
}
