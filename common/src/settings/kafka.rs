//! How the brokers of the log are reached.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Fault, Process, Secret, empty_is_none};

/// "As many as the brokers' own setting says" (KIP-464).
const REPLICATION_DEFAULT: i16 = -1;

/// Encryption and identity towards the brokers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaSettings {
    /// Whether connections are encrypted. Default false.
    pub tls: bool,
    /// Certificates of authorities trusted instead of the public ones, PEM. The brokers' certificates must name the hosts they
    /// are known by.
    #[serde(deserialize_with = "empty_is_none")]
    pub ca_file: Option<PathBuf>,
    /// Who we are.
    pub sasl: SaslSettings,
    /// Copies of each partition that a created topic asks for; a topic that exists is left as it is. Default -1: as many as
    /// the brokers are set to.
    pub replication: i16,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self { tls: false, ca_file: None, sasl: SaslSettings::default(), replication: REPLICATION_DEFAULT }
    }
}

/// Who we are to the brokers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SaslSettings {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. Default: nobody in particular.
    #[serde(deserialize_with = "empty_is_none")]
    pub mechanism: Option<SaslMechanism>,
    /// Name of the user.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// How a password is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SaslMechanism {
    /// Sent as it is; only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl FromStr for SaslMechanism {
    type Err = UnknownMechanism;

    fn from_str(text: &str) -> Result<Self, UnknownMechanism> {
        match text {
            "PLAIN" => Ok(Self::Plain),
            "SCRAM-SHA-256" => Ok(Self::ScramSha256),
            "SCRAM-SHA-512" => Ok(Self::ScramSha512),
            _ => Err(UnknownMechanism),
        }
    }
}

/// A word that names no mechanism.
#[derive(Debug, Clone, Copy)]
pub struct UnknownMechanism;

impl fmt::Display for UnknownMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    }
}

impl KafkaSettings {
    /// Checks what types cannot; named as settings of this section.
    pub fn faults_inside(&self, section: &str, process: &Process) -> Vec<Fault> {
        let sealed = process.sealed();
        let sasl = &self.sasl;
        let named = !sasl.username.is_empty() || !sasl.password.is_empty();
        let mechanism = sasl.mechanism.is_some();
        let plain = sasl.mechanism == Some(SaslMechanism::Plain);
        let found = Fault::found([
            (self.ca_file.is_some() && !self.tls, "ca_file", "has no use without TLS=true"),
            (mechanism && sasl.username.is_empty(), "sasl.username", "is missing"),
            (mechanism && sasl.password.is_empty(), "sasl.password", "is missing"),
            (named && !mechanism, "sasl.mechanism", "is missing"),
            (sealed && !self.tls, "tls", "must be true in production, or ALLOW_PLAINTEXT=true"),
            (sealed && !mechanism, "sasl.mechanism", "must be set in production, or ALLOW_PLAINTEXT=true"),
            (
                self.replication < 1 && self.replication != REPLICATION_DEFAULT,
                "replication",
                "must be above zero, or -1",
            ),
            (plain && !self.tls, "sasl.mechanism", "sends the password as it is, which needs TLS=true"),
        ]);
        found.map(|fault| fault.inside(section)).collect()
    }
}

/// What is wrong with a list of brokers.
pub fn broker_faults(brokers: &str) -> Vec<Fault> {
    let good = |broker: &str| {
        let Some((host, port)) = broker.trim().rsplit_once(':') else { return false };
        !host.is_empty() && !host.contains("//") && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if brokers.split(',').all(good) {
        return Vec::new();
    }
    vec![Fault::new("brokers", "must be host:port, several separated by commas")]
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::Mode::{Development, Production};
    use super::*;

    fn keys(settings: &KafkaSettings, mode: Mode) -> Vec<String> {
        let process = Process { mode, ..Process::on_loopback(0, 0) };
        settings.faults_inside("kafka", &process).into_iter().map(|fault| fault.key).collect()
    }

    #[test]
    fn half_an_identity_is_a_fault() {
        let sasl = SaslSettings { mechanism: Some(SaslMechanism::ScramSha256), ..SaslSettings::default() };
        let nameless = KafkaSettings { sasl, ..KafkaSettings::default() };
        let sasl = SaslSettings { username: "u".into(), password: "p".into(), mechanism: None };
        let unproven = KafkaSettings { sasl, ..KafkaSettings::default() };

        assert_eq!(keys(&nameless, Development), ["kafka.sasl.username", "kafka.sasl.password"]);
        assert_eq!(keys(&unproven, Development), ["kafka.sasl.mechanism"]);
        assert!(keys(&KafkaSettings::default(), Development).is_empty());
        assert_eq!(
            keys(&KafkaSettings { replication: 0, ..KafkaSettings::default() }, Development),
            ["kafka.replication"]
        );
    }

    #[test]
    fn production_wants_encryption_and_a_name() {
        let sasl = SaslSettings { mechanism: Some(SaslMechanism::Plain), username: "u".into(), password: "p".into() };
        let good = KafkaSettings { tls: true, sasl: sasl.clone(), ..KafkaSettings::default() };

        assert!(keys(&good, Production).is_empty());
        assert_eq!(keys(&KafkaSettings::default(), Production), ["kafka.tls", "kafka.sasl.mechanism"]);
        assert_eq!(keys(&KafkaSettings { sasl, ..KafkaSettings::default() }, Development), ["kafka.sasl.mechanism"]);
    }

    #[test]
    fn every_broker_has_host_and_port() {
        assert!(broker_faults("a:9092, b:9093").is_empty());
        for bad in ["", "a", "a:9092,", ":9092", "a:0", "kafka://a:9092", "a:port"] {
            assert_eq!(broker_faults(bad).len(), 1, "{bad}");
        }
    }
}
