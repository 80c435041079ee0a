//! Settings: what a service is told from outside, and the parts that several services share.
//!
//! - [`Loader`]: defaults in code, then the place of a command, a TOML file, `EVENTIX_<SERVICE>__…`, flags
//! - [`Process`], [`Peer`], [`DatabaseSettings`], [`KafkaSettings`], [`AuthSettings`](crate::oidc::AuthSettings): sections with their own checks
//! - [`Secret`], [`DatabaseUrl`]: values that are never shown
//!
//! Serialising settings gives what may be shown of them. That loses nothing of the defaults, which hold no secret.

mod database;
mod fault;
mod kafka;
mod load;
mod peer;
mod process;
mod secret;

pub use database::{DatabaseSettings, DatabaseUrl};
pub use fault::{Fault, Faults};
pub use kafka::{KafkaSettings, SaslMechanism, SaslSettings, broker_faults};
pub use load::{Loader, Settings};
pub use peer::{Endpoints, Peer};
pub use process::{Mode, Process};
pub use secret::Secret;

use serde::{Deserialize, Deserializer};

/// An optional setting that may be given empty, as compose files and shells do.
pub(crate) fn empty_is_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    match Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) {
        Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
        None => Ok(None),
    }
}
