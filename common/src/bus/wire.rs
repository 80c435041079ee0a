//! How brokers are met, ready for use by every client: TLS, and who we are.

use std::sync::Arc;

use anyhow::Context;
use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rustls::ClientConfig;

use crate::settings::{KafkaSettings, SaslMechanism, SaslSettings};
use crate::tls;

/// The settings, read once.
#[derive(Clone)]
pub(super) struct Wire {
    tls: Option<Arc<ClientConfig>>,
    sasl: Option<SaslConfig>,
    /// Copies of each partition that a created topic asks for.
    pub(super) replication: i16,
}

impl Wire {
    /// Plain TCP, to brokers that ask nobody who he is.
    pub(super) fn plain() -> Self {
        Self { tls: None, sasl: None, replication: KafkaSettings::default().replication }
    }

    pub(super) fn of(settings: &KafkaSettings) -> anyhow::Result<Self> {
        let tls = settings.tls.then(|| tls::client_config(settings.ca_file.as_deref()));
        Ok(Self {
            tls: tls.transpose().context("kafka.ca_file")?,
            sasl: sasl(&settings.sasl),
            replication: settings.replication,
        })
    }

    pub(super) fn apply(&self, mut builder: ClientBuilder) -> ClientBuilder {
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(tls.clone());
        }
        if let Some(sasl) = &self.sasl {
            builder = builder.sasl_config(sasl.clone());
        }
        builder
    }
}

fn sasl(settings: &SaslSettings) -> Option<SaslConfig> {
    let credentials = Credentials::new(settings.username.clone(), settings.password.expose().to_owned());
    Some(match settings.mechanism? {
        SaslMechanism::Plain => SaslConfig::Plain(credentials),
        SaslMechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
        SaslMechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
    })
}
