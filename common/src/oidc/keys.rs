//! Fetches the issuer's key set: every so often, sooner after a failure, and when a token names a key that is not there.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, Uri};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::http::{FetchError, Http};
use super::settings::{AuthSettings, address};
use crate::auth::keys::{Fetched, FetchedKeys, KeySet, KeySource};
use crate::auth::{Jwk, Jwks, KeySetError};
use crate::clock::SystemClock;
use crate::dev_issuer::{self, DevIssuer};
use crate::error::chain;
use crate::telemetry;

/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why a fetch brought no keys; those that are there stay.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("the key set could not be fetched")]
    Fetch(#[from] FetchError),
    #[error("the key set's address answers {0}")]
    Status(StatusCode),
    #[error("the answer is no use")]
    Keys(#[from] KeySetError),
}

/// The writing side of the issuer's keys; there is one, so that nothing is ever fetched twice at once.
pub(super) struct KeyKeeper {
    http: Arc<Http>,
    uri: Uri,
    refresh: Duration,
    cooldown: Duration,
    news: watch::Sender<Fetched>,
    wanted: Arc<Notify>,
    refused: Jwk,
}

impl KeyKeeper {
    /// A keeper, and where its keys can be read.
    pub(super) fn new(http: Arc<Http>, settings: &AuthSettings) -> anyhow::Result<(Self, KeySource)> {
        let (news, read) = watch::channel(Fetched::default());
        let wanted = Arc::new(Notify::new());
        let fetched = FetchedKeys {
            news: read,
            wanted: wanted.clone(),
            cooldown: settings.key_cooldown,
            age_max: settings.key_age_max,
        };
        let keeper = Self {
            http,
            uri: address(&settings.jwks_url)?,
            refresh: settings.key_refresh,
            cooldown: settings.key_cooldown,
            news,
            wanted,
            refused: development_key()?,
        };
        Ok((keeper, KeySource::Fetched(fetched)))
    }

    /// Fetches for ever.
    pub(super) async fn run(self) -> Infallible {
        let mut pause = PAUSE_MIN;
        loop {
            let began = Instant::now();
            let rest = match self.fetch().await {
                Ok(keys) => {
                    tracing::debug!(keys = keys.len(), "fetched the issuer's keys");
                    self.tell(Some((Arc::new(keys), began)), began);
                    pause = PAUSE_MIN;
                    self.refresh
                }
                Err(error) => {
                    tracing::warn!(url = %self.uri, error = %chain(&error), "the issuer's keys could not be refreshed");
                    telemetry::count("eventix_identity_failures", "identity", "keys");
                    self.tell(None, began);
                    let rest = pause.min(self.refresh);
                    pause = (pause * 2).min(PAUSE_MAX);
                    rest
                }
            };
            self.rest(began, Instant::now() + rest).await;
        }
    }

    async fn fetch(&self) -> Result<KeySet, RefreshError> {
        let answer = self.http.get(&self.uri).await?;
        if answer.status != StatusCode::OK {
            return Err(RefreshError::Status(answer.status));
        }
        let mut jwks = Jwks::parse(&answer.body)?;
        jwks.keys.retain(|key| !self.is_refused(key));
        Ok(KeySet::of(&jwks)?)
    }

    /// The development key signs for everybody, whatever it is called.
    fn is_refused(&self, key: &Jwk) -> bool {
        key.kid == dev_issuer::KEY_ID || key.modulus() == self.refused.modulus()
    }

    /// Publishes the outcome of a fetch; a failed one leaves the keys, but not their age.
    fn tell(&self, keys: Option<(Arc<KeySet>, Instant)>, attempted_at: Instant) {
        self.news.send_modify(|fetched| {
            fetched.attempted_at = Some(attempted_at);
            if keys.is_some() {
                fetched.keys = keys;
            }
        });
    }

    /// Waits until the next fetch is due, or a token wants one and the cool-down is over.
    async fn rest(&self, attempted_at: Instant, until: Instant) {
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                () = self.wanted.notified() => if attempted_at.elapsed() >= self.cooldown { return },
            }
        }
    }
}

fn development_key() -> anyhow::Result<Jwk> {
    let issuer = DevIssuer::new(Arc::new(SystemClock))?;
    Ok(issuer.jwks().keys[0].clone())
}
