//! The public keys that verify tickets, for gates that work offline.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::grpc::Caller;
use common::proto::booking::v1 as pb;
use http::StatusCode;
use http::header::CACHE_CONTROL;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::App;
use crate::clients::call_retried;

/// How long anybody may keep the keys; a gate that meets an unknown key id asks again.
const KEPT: &str = "public, max-age=300";

/// How long the gateway answers from what it read: a gate that just met a new key is not to be told of old ones.
const FRESH: Duration = Duration::from_secs(2);

/// The key set, as in RFC 8037.
pub async fn answer(State(app): State<Arc<App>>) -> Response {
    match app.ticket_keys.get_or_read(keys(&app)).await {
        Ok(set) => ([(CACHE_CONTROL, KEPT)], Json(set)).into_response(),
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "ticket keys cannot be had");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "temporarily unavailable"}))).into_response()
        }
    }
}

/// The set as it was read last: anybody may ask, and booking is to notice little of it.
#[derive(Default)]
pub struct Kept(Mutex<Option<(Instant, Value)>>);

impl Kept {
    /// Held over the reading, so that many who ask at once cause only one.
    async fn get_or_read(&self, reading: impl Future<Output = anyhow::Result<Value>>) -> anyhow::Result<Value> {
        let mut last = self.0.lock().await;
        if let Some((read_at, set)) = last.as_ref()
            && read_at.elapsed() < FRESH
        {
            return Ok(set.clone());
        }
        let set = reading.await?;
        *last = Some((Instant::now(), set.clone()));
        Ok(set)
    }
}

async fn keys(app: &App) -> anyhow::Result<Value> {
    let deadline = Instant::now() + app.config.request_timeout;
    let caller = Caller::service(app.identity.tokens.as_ref()).await?.until(deadline.into_std());
    let message = pb::ListTicketKeysRequest {};
    let keys = call_retried!(app.api.clients.booking, list_ticket_keys, caller, message)?.keys;
    Ok(json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()}))
}

fn jwk(key: &pb::TicketKey) -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": key.key_id.to_string(),
        "x": URL_SAFE_NO_PAD.encode(&key.public_key),
        "alg": "EdDSA",
        "use": "sig",
    })
}
