//! Identity for production: any OIDC issuer, by issuer, audience and key set address; `Service` tokens of our own by client
//! credentials.
//!
//! - `settings`: what is configured; `http`: bounded requests to the issuer
//! - `keys`: fetches the key set again and again; `credentials`: gets tokens and renews them in time

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, ensure};

use crate::auth::{Identity, Issuer, Verifier};
use crate::runtime::Shutdown;
use crate::tls;

mod credentials;
mod http;
mod keys;
mod settings;

pub use settings::AuthSettings;

use credentials::{CredentialsKeeper, Endpoint};
use http::Http;
use keys::KeyKeeper;

/// The identity of a process that trusts an OIDC issuer, and what keeps it up to date: nothing is fetched before
/// [`Keeper::run`] runs.
///
/// # Errors
/// Settings with faults, or a file of certificates that cannot be used.
pub fn identity(settings: &AuthSettings) -> anyhow::Result<(Identity, Keeper)> {
    let faults: Vec<String> =
        settings.faults().into_iter().map(|fault| format!("auth.{} {}", fault.key, fault.wrong)).collect();
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    let http = Arc::new(Http::new(tls::client_config(settings.ca_file.as_deref()).context("auth.ca_file")?));

    let (keys, fetched) = KeyKeeper::new(http.clone(), settings)?;
    let issuer = Issuer {
        issuer: settings.issuer.clone(),
        audience: settings.audience.clone(),
        roles_claim: settings.roles_claim.clone(),
    };
    let (credentials, tokens) = CredentialsKeeper::new(Endpoint::new(http, settings)?);
    let identity = Identity { verifier: Verifier::over(&issuer, fetched), tokens: Arc::new(tokens) };
    Ok((identity, Keeper { keys, credentials }))
}

/// Keeps keys and tokens up to date.
pub struct Keeper {
    keys: KeyKeeper,
    credentials: CredentialsKeeper,
}

impl Keeper {
    /// Fetches keys and tokens until shutdown. An issuer that fails is asked again and again.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        let never: Infallible = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            never = self.keys.run() => never,
            never = self.credentials.run() => never,
        };
        match never {}
    }
}
