//! `Service` tokens by OAuth 2 client credentials (RFC 6749, section 4.4): got once for everybody, renewed before they end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{StatusCode, Uri};
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::http::{Answer, FetchError, Http};
use super::settings::{AuthSettings, address};
use crate::auth::{ServiceTokens, TOKEN_BYTES_MAX};
use crate::error::chain;
use crate::settings::Secret;
use crate::telemetry;

/// How long a token lives whose endpoint does not say so.
const LIFE_DEFAULT: Duration = Duration::from_secs(300);
/// A token is renewed this long before its end, or when four fifths of its life are over.
const RENEW_BEFORE_MAX: Duration = Duration::from_secs(60);
/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a call waits for a token when there is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why there is no new token. Never holds what was sent, nor what came back.
#[derive(Debug, thiserror::Error)]
enum TokenFailure {
    #[error("the token endpoint could not be asked")]
    Fetch(#[from] FetchError),
    #[error("the token endpoint answers {0}: {1}")]
    Refused(StatusCode, &'static str),
    #[error("the token endpoint's answer is no bearer token")]
    Unreadable,
}

/// Where tokens are got, and as whom.
pub(super) struct Endpoint {
    http: Arc<Http>,
    uri: Uri,
    client_id: String,
    client_secret: Secret,
    audience: String,
}

impl Endpoint {
    pub(super) fn new(http: Arc<Http>, settings: &AuthSettings) -> anyhow::Result<Self> {
        Ok(Self {
            http,
            uri: address(&settings.token_url).context("auth.token_url")?,
            client_id: settings.client_id.clone(),
            client_secret: settings.client_secret.clone(),
            audience: settings.audience.clone(),
        })
    }

    async fn token(&self) -> Result<Token, TokenFailure> {
        let asked_at = Instant::now();
        let answer = self.http.post(&self.uri, self.form()).await?;
        if answer.status != StatusCode::OK {
            return Err(TokenFailure::Refused(answer.status, error_code(&answer)));
        }
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| TokenFailure::Unreadable)?;
        granted.token(asked_at).ok_or(TokenFailure::Unreadable)
    }

    /// `audience` is not of the RFC; Auth0 wants it, others ignore it.
    fn form(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose())
            .append_pair("audience", &self.audience)
            .finish()
    }
}

/// The code of a refusal (RFC 6749, section 5.2): only known words, so that nothing of ours can come back in a log.
fn error_code(answer: &Answer) -> &'static str {
    const KNOWN: [&str; 9] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
        "server_error",
        "temporarily_unavailable",
    ];
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let refusal = serde_json::from_slice(&answer.body).map_or_else(|_| String::new(), |refusal: Refusal| refusal.error);
    KNOWN.into_iter().find(|known| *known == refusal).unwrap_or("no known reason")
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: String,
    expires_in: Option<u64>,
}

impl Granted {
    fn token(self, asked_at: Instant) -> Option<Token> {
        let text = self.access_token;
        let sound = (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound || !self.token_type.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let life = self.expires_in.map_or(LIFE_DEFAULT, Duration::from_secs);
        Some(Token { text: text.into(), expires_at: asked_at.checked_add(life)?, life })
    }
}

/// A token and its time.
struct Token {
    text: SecretString,
    expires_at: Instant,
    life: Duration,
}

impl Token {
    fn is_good(&self) -> bool {
        Instant::now() < self.expires_at
    }

    /// How long to wait before asking for the next one.
    fn renew_in(&self) -> Duration {
        let before = RENEW_BEFORE_MAX.min(self.life / 5);
        (self.expires_at - before).saturating_duration_since(Instant::now())
    }
}

/// Gets tokens and renews them in time; there is one, so that no two are asked for at once.
pub(super) struct CredentialsKeeper {
    endpoint: Endpoint,
    news: watch::Sender<Option<Token>>,
}

impl CredentialsKeeper {
    /// A keeper, and where its tokens can be had.
    pub(super) fn new(endpoint: Endpoint) -> (Self, ClientCredentials) {
        let (news, tokens) = watch::channel(None);
        (Self { endpoint, news }, ClientCredentials { tokens })
    }

    /// Renews for ever. A token is used to its end while no new one is to be had.
    pub(super) async fn run(self) -> Infallible {
        let mut pause = PAUSE_MIN;
        loop {
            match self.endpoint.token().await {
                Ok(token) => {
                    pause = PAUSE_MIN;
                    // A token that lives for moments only must not make a loop of it.
                    let rest = token.renew_in().max(PAUSE_MIN);
                    self.news.send_replace(Some(token));
                    sleep(rest).await;
                }
                Err(error) => {
                    let url = &self.endpoint.uri;
                    tracing::warn!(%url, error = %chain(&error), "no new token for calls to other services");
                    telemetry::count("eventix_identity_failures", "identity", "token");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

/// The newest token, while it is good.
pub(super) struct ClientCredentials {
    tokens: watch::Receiver<Option<Token>>,
}

#[async_trait::async_trait]
impl ServiceTokens for ClientCredentials {
    async fn token(&self) -> anyhow::Result<String> {
        let mut tokens = self.tokens.clone();
        let good = tokens.wait_for(|token| token.as_ref().is_some_and(Token::is_good));
        let token = timeout(PATIENCE, good).await.context("the token endpoint gives no token")??;
        let token = token.as_ref().context("a good token is some token")?;
        Ok(token.text.expose_secret().to_owned())
    }
}
