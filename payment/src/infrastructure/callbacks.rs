//! Where the provider tells unasked: `POST /callbacks`, signed as [`signature`](super::provider::signature) says.
//!
//! | answer | when | the provider |
//! |---|---|---|
//! | 204 | taken in, now or before; or of a kind nobody here has heard of yet | is done |
//! | 400 | no callback of ours, though well signed | need not tell it again |
//! | 401 | signature missing, wrong, too old or from the future | signs it afresh |
//! | 503 | it could not be stored | tells it again |

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use common::clock::Clock;
use common::error::chain;
use common::runtime::Shutdown;
use tokio::net::TcpListener;

use super::provider::signature::{Forged, HEADER, Secrets};
use super::provider::wire::CallbackBody;
use crate::application::listen::Listener;
use crate::application::ports::ProviderEvent;

/// Path of the endpoint.
pub const PATH: &str = "/callbacks";
/// Bytes of one callback.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Longest time for one callback.
const PATIENCE: Duration = Duration::from_secs(10);

/// The endpoint.
pub struct CallbackApi {
    listener: Listener,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
}

impl CallbackApi {
    /// Believes callbacks that are signed with one of the secrets.
    pub fn new(listener: Listener, secrets: Secrets, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { listener, secrets, clock })
    }

    /// Takes callbacks until shutdown.
    ///
    /// # Errors
    /// The listener breaks.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: Shutdown) -> anyhow::Result<()> {
        let app = Router::new().route(PATH, post(take)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(self);
        axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await.context("callbacks")
    }

    /// Takes one callback, however it came here.
    pub async fn take(&self, signature: Option<&str>, body: &[u8]) -> StatusCode {
        if let Err(forged) = self.check(signature, body) {
            tracing::warn!(%forged, "a callback is not believed");
            return StatusCode::UNAUTHORIZED;
        }
        match read(body) {
            Err(error) => {
                tracing::error!(error, "a signed callback cannot be read");
                StatusCode::BAD_REQUEST
            }
            Ok(None) => StatusCode::NO_CONTENT,
            Ok(Some(event)) => self.hear(&event).await,
        }
    }

    fn check(&self, signature: Option<&str>, body: &[u8]) -> Result<(), Forged> {
        self.secrets.verify(signature.ok_or(Forged::Malformed)?, body, self.clock.now())
    }

    async fn hear(&self, event: &ProviderEvent) -> StatusCode {
        match tokio::time::timeout(PATIENCE, self.listener.hear(event)).await {
            Ok(Ok(_)) => StatusCode::NO_CONTENT,
            Ok(Err(error)) => {
                tracing::warn!(event.id, error = %chain(&error), "callback {} was not taken in", event.id);
                StatusCode::SERVICE_UNAVAILABLE
            }
            Err(_) => {
                tracing::warn!(event.id, "callback {} was not taken in within {PATIENCE:?}", event.id);
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

async fn take(State(api): State<Arc<CallbackApi>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get(HEADER).and_then(|value| value.to_str().ok());
    api.take(signature, &body).await
}

fn read(body: &[u8]) -> Result<Option<ProviderEvent>, String> {
    let body: CallbackBody = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    body.event().map_err(|error| error.to_string())
}
