//! Settings of the gateway, each with its unit and default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the gateway: `EVENTIX_GATEWAY__…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where catalog answers gRPC. Default `http://127.0.0.1:50051`.
    pub catalog_endpoint: String,
    /// Where booking answers gRPC. Default `http://127.0.0.1:50052`.
    pub booking_endpoint: String,
    /// Where payment answers gRPC. Default `http://127.0.0.1:50053`.
    pub payment_endpoint: String,
    /// Time one request may take, from its last byte in to its first byte out. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// The same for a request whose body is over `limits.body_bytes`, which only an import may be. Default 60 s.
    #[serde(with = "humantime_serde")]
    pub import_timeout: Duration,
    /// How long requests under way may take after the stop signal. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
    /// Secret that signs cursors, the same on every replica; empty takes a public one, good enough for development.
    pub cursor_key: String,
    /// Memory for seating plans kept between requests, bytes. Default 64 MiB.
    pub plan_cache_bytes: u64,
    /// What a request may cost.
    pub limits: Limits,
}

/// Bounds of one request; what is over is refused before anything is executed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
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
            catalog_endpoint: "http://127.0.0.1:50051".into(),
            booking_endpoint: "http://127.0.0.1:50052".into(),
            payment_endpoint: "http://127.0.0.1:50053".into(),
            request_timeout: Duration::from_secs(10),
            import_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            cursor_key: String::new(),
            plan_cache_bytes: 64 * 1024 * 1024,
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

impl Config {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names every fault at once.
    pub fn validate(&self) -> anyhow::Result<()> {
        let mut faults = Vec::new();
        for (name, endpoint) in [
            ("catalog_endpoint", &self.catalog_endpoint),
            ("booking_endpoint", &self.booking_endpoint),
            ("payment_endpoint", &self.payment_endpoint),
        ] {
            if endpoint.parse::<::http::Uri>().ok().and_then(|uri| uri.host().map(str::len)).is_none() {
                faults.push(format!("{name} {endpoint:?} is not an address such as http://127.0.0.1:50051"));
            }
        }
        if self.request_timeout.is_zero() || self.import_timeout.is_zero() {
            faults.push("request_timeout and import_timeout must be longer than zero".into());
        }
        if self.limits.import_body_bytes < self.limits.body_bytes {
            faults.push("limits.import_body_bytes must not be below limits.body_bytes".into());
        }
        anyhow::ensure!(faults.is_empty(), "settings of gateway: {}", faults.join("; "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_the_settings_is_named_at_once() {
        let config =
            Config { catalog_endpoint: "nowhere at all".into(), request_timeout: Duration::ZERO, ..Config::default() };

        let text = config.validate().unwrap_err().to_string();

        assert!(text.contains("catalog_endpoint") && text.contains("request_timeout"), "{text}");
        assert!(Config::default().validate().is_ok());
    }
}
