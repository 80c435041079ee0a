//! The admin side of a process, on an address of its own: health and metrics over HTTP, reflection over gRPC.
//! It answers until the process ends, also while the service drains.

use anyhow::Context;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::grpc::{nodelay, reflection};
use crate::health::Health;
use crate::telemetry;

/// Answers for ever.
///
/// # Errors
/// The listener breaks.
pub async fn serve(listener: TcpListener, health: Health) -> anyhow::Result<()> {
    let http = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    tonic::transport::Server::builder()
        .accept_http1(true)
        .add_routes(Routes::from(http).add_service(reflection()?))
        .serve_with_incoming(nodelay(listener))
        .await
        .context("admin server")
}

/// The process is there.
async fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

/// Whether requests should come to this process, and what is missing if not.
async fn ready(State(health): State<Health>) -> Response {
    let missing = health.missing().await;
    if missing.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "missing": missing}))).into_response()
}

async fn metrics() -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::metrics_text()).into_response()
}
