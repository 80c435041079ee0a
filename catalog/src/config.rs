//! Settings of catalog: defaults here, then a TOML file, then `EVENTIX_CATALOG__…`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of catalog.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `sqlite:///path/catalog.db?mode=rwc` or `postgres://…`. Default: a file beside the process.
    pub database_url: String,
    /// Most connections to PostgreSQL; SQLite has its own. Default 10.
    pub database_connections: u32,
    /// Kafka-protocol brokers, `host:port,…`. Default `127.0.0.1:50054`.
    pub brokers: String,
    /// Where booking answers, `http://host:port`. Default `http://127.0.0.1:50052`.
    pub booking_endpoint: String,
    /// How long a lease on a relay shard lasts unless renewed. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database_url: "sqlite://catalog.db?mode=rwc".into(),
            database_connections: 10,
            brokers: "127.0.0.1:50054".into(),
            booking_endpoint: "http://127.0.0.1:50052".into(),
            lease: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks every setting.
    ///
    /// # Errors
    /// Lists every fault.
    pub fn validate(&self) -> anyhow::Result<()> {
        let known_database = ["sqlite:", "postgres:", "postgresql:"].iter().any(|p| self.database_url.starts_with(p));
        let known_endpoint = ["http://", "https://"].iter().any(|p| self.booking_endpoint.starts_with(p));
        let checks = [
            (known_database, "database_url must begin with sqlite: or postgres:"),
            (self.database_connections > 0, "database_connections must be at least 1"),
            (!self.brokers.trim().is_empty(), "brokers must name at least one host:port"),
            (known_endpoint, "booking_endpoint must begin with http:// or https://"),
            (self.lease >= Duration::from_secs(1), "lease must be at least 1s"),
        ];
        let faults: Vec<&str> = checks.iter().filter(|(good, _)| !good).map(|(_, fault)| *fault).collect();
        anyhow::ensure!(faults.is_empty(), "settings of catalog: {}", faults.join("; "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_good_and_every_fault_is_listed() {
        let bad = Config { database_url: "mysql://x".into(), lease: Duration::ZERO, ..Config::default() };

        assert!(Config::default().validate().is_ok());
        let message = bad.validate().unwrap_err().to_string();
        assert!(message.contains("database_url") && message.contains("lease"), "{message}");
    }
}
