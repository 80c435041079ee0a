//! The public keys that verify tickets, for gates that work offline.

use std::sync::Arc;

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
use tokio::time::Instant;

use super::App;
use crate::clients::call_retried;

/// How long anybody may keep the keys; a gate that meets an unknown key id asks again.
const KEPT: &str = "public, max-age=300";

/// The key set, as in RFC 8037.
pub async fn answer(State(app): State<Arc<App>>) -> Response {
    match keys(&app).await {
        Ok(keys) => {
            let set = json!({"keys": keys.iter().map(jwk).collect::<Vec<_>>()});
            ([(CACHE_CONTROL, KEPT)], Json(set)).into_response()
        }
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "ticket keys cannot be had");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"error": "temporarily unavailable"}))).into_response()
        }
    }
}

async fn keys(app: &App) -> anyhow::Result<Vec<pb::TicketKey>> {
    let deadline = Instant::now() + app.config.request_timeout;
    let caller = Caller::service(app.identity.tokens.as_ref()).await?.until(deadline.into_std());
    let message = pb::ListTicketKeysRequest {};
    Ok(call_retried!(app.api.clients.booking, list_ticket_keys, caller, message)?.keys)
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
