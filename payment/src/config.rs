//! Payment's settings: `EVENTIX_PAYMENT__…`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use common::settings::{DatabaseSettings, Fault, KafkaSettings, Peer, Process, Secret, Settings, broker_faults};
use http::Uri;
use serde::{Deserialize, Serialize};

use crate::application::steps::StepSettings;
use crate::domain::Patience;
use crate::infrastructure::provider::signature::Secrets;

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
    /// Where the provider may tell unasked.
    pub callback: CallbackSettings,
    /// Pause before the provider is asked a second time; doubles; 200 ms.
    #[serde(with = "humantime_serde")]
    pub retry_first: Duration,
    /// Longest pause between two tries; 5 s.
    #[serde(with = "humantime_serde")]
    pub retry_longest: Duration,
    /// Refusals after which a void or refund is stuck and a person must look; 8.
    pub refusals_max: u32,
    /// After how long an unknown outcome raises an alarm, again and again; 10 min.
    #[serde(with = "humantime_serde")]
    pub unknown_alarm: Duration,
    /// After how long an authorisation whose outcome stays unknown is voided, which declines it for good; 24 h, after which
    /// booking would let the money go in any case.
    #[serde(with = "humantime_serde")]
    pub give_up: Duration,
    /// How long a lease on a relay shard or partition lasts without renewal; 10 s.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
    /// How long a payment waits before it tells its last fact again and asks booking; 30 s.
    #[serde(with = "humantime_serde")]
    pub waiting: Duration,
}

/// Who moves the money: a provider process, or the simulated provider in this one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderSettings {
    /// A provider process, `http://host:port` or `https://…`; empty: the simulated provider works in this process.
    pub url: String,
    /// What a provider process is shown with every call.
    pub secret: Secret,
    /// Certificates of authorities trusted for `url` instead of the usual ones, PEM; empty: the usual ones.
    pub ca_file: PathBuf,
    /// The ledger of the simulated provider in this process, a database apart from payment's.
    pub database: DatabaseSettings,
    /// Longest wait for one of its answers; 5 s.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
}

impl Default for ProviderSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: Secret::default(),
            ca_file: PathBuf::new(),
            database: DatabaseSettings::at("sqlite://data/provider.db?mode=rwc"),
            timeout: Duration::from_secs(5),
        }
    }
}

impl ProviderSettings {
    /// Whether the provider is a process of its own.
    pub fn is_remote(&self) -> bool {
        !self.url.is_empty()
    }

    fn faults(&self, process: &Process) -> Vec<Fault> {
        let hurried = (self.timeout.is_zero(), "timeout", "must be longer than nothing");
        let mut faults: Vec<Fault> = Fault::found([hurried]).collect();
        if !self.is_remote() {
            faults.extend(self.database.faults_inside("database", process));
            return faults;
        }
        let uri = self.url.parse::<Uri>().ok().filter(|uri| uri.host().is_some());
        let scheme = uri.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
        let plain = scheme == "http" && process.sealed();
        faults.extend(Fault::found([
            (!["http", "https"].contains(&scheme), "url", "is not an address that begins with https:// or http://"),
            (plain, "url", "must begin with https:// in production, or ALLOW_PLAINTEXT=true"),
            (self.secret.is_empty(), "secret", "is missing"),
        ]));
        faults
    }
}

/// Where the provider tells unasked, and whom payment believes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallbackSettings {
    /// Address of the endpoint, port 0 takes a free one; absent: no callbacks are taken.
    pub listen: Option<SocketAddr>,
    /// Secrets that callbacks may be signed with, separated by commas, so that they can be rotated. Default: what the
    /// provider process is shown, or one that only the simulated provider of this process knows.
    pub secrets: Secret,
}

impl CallbackSettings {
    fn faults(&self, process: &Process) -> Vec<Fault> {
        let open = self.listen.is_some_and(|address| !address.ip().is_loopback());
        let development = !process.is_production() && !process.auth.is_set();
        let why = "must be a loopback address while the development issuer is trusted";
        Fault::found([(open && development, "listen", why)]).collect()
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
            callback: CallbackSettings::default(),
            retry_first: Duration::from_millis(200),
            retry_longest: Duration::from_secs(5),
            refusals_max: 8,
            unknown_alarm: Duration::from_secs(10 * 60),
            give_up: Duration::from_secs(24 * 3600),
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
        faults.extend(self.provider.faults(&self.process).into_iter().map(|fault| fault.inside("provider")));
        faults.extend(self.callback.faults(&self.process).into_iter().map(|fault| fault.inside("callback")));
        faults.extend(self.kafka.faults_inside("kafka", &self.process));
        faults.extend(broker_faults(&self.brokers));
        let second = Duration::from_secs(1);
        let same = self.database.url.expose() == self.provider.database.url.expose();
        let shared = same && !self.provider.is_remote();
        let hasty = self.give_up < self.provider.timeout * 2;
        faults.extend(Fault::found([
            (shared, "provider.database.url", "must be a database of its own"),
            (self.retry_first.is_zero(), "retry_first", "must be longer than nothing"),
            (self.retry_longest < self.retry_first, "retry_longest", "must not be shorter than retry_first"),
            (self.refusals_max == 0, "refusals_max", "must be at least 1"),
            (self.unknown_alarm < second, "unknown_alarm", "must be at least 1s"),
            (hasty, "give_up", "must be longer than two answers of the provider take"),
            (self.lease < second, "lease", "must be at least 1s"),
            (self.waiting < second, "waiting", "must be at least 1s"),
        ]));
        faults
    }
}

impl Config {
    /// Who may sign callbacks.
    ///
    /// # Errors
    /// The machine has no randomness.
    pub fn callback_secrets(&self) -> anyhow::Result<Secrets> {
        let named = [&self.callback.secrets, &self.provider.secret].into_iter().find(|secrets| !secrets.is_empty());
        let Some(secrets) = named else { return Secrets::of_this_process() };
        Ok(Secrets::new(secrets.expose().split(',').map(str::trim).filter(|secret| !secret.is_empty())))
    }

    /// How the provider is asked.
    pub fn steps(&self) -> StepSettings {
        StepSettings {
            provider_timeout: self.provider.timeout,
            patience: Patience {
                first: self.retry_first,
                longest: self.retry_longest,
                refusals_max: self.refusals_max,
            },
            give_up: self.give_up,
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
