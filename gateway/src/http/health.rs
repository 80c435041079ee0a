//! Liveness and readiness: ready while tokens can be verified and booking answers `grpc.health.v1`. Catalog and payment must
//! have answered once; later no sale waits for them, and a gateway that left with them would take the sales along.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common::auth::Verifier;
use common::grpc::MeshChannel;
use common::health::Needs;
use common::runtime::Shutdown;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::App;
use crate::clients::Clients;

/// How long an answer is good for, so that probes cost the services nothing.
const KEPT: Duration = Duration::from_secs(1);
/// The service without which nothing is sold.
const NEEDED: &str = "booking";
/// How long one service may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The process is there.
pub async fn live() -> Json<serde_json::Value> {
    Json(json!({"status": "live"}))
}

/// Whether requests should come here, and what is missing if not.
pub async fn ready(State(app): State<Arc<App>>) -> Response {
    let missing = app.readiness.missing().await;
    if missing.is_empty() {
        return Json(json!({"status": "ready"})).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "missing": missing}))).into_response()
}

/// Asks the services, at most once a second.
pub struct Readiness {
    services: [(&'static str, &'static str, HealthClient<MeshChannel>); 3],
    verifier: Arc<Verifier>,
    shutdown: Shutdown,
    last: Mutex<Last>,
}

/// What was found last.
#[derive(Default)]
struct Last {
    asked_at: Option<Instant>,
    missing: Vec<&'static str>,
    /// Whether all of them answered once.
    complete: bool,
}

impl Readiness {
    /// Nothing is asked yet. A gateway that is stopping is not ready.
    pub fn new(clients: &Clients, verifier: Arc<Verifier>, shutdown: Shutdown) -> Self {
        Self { services: clients.health.clone(), verifier, shutdown, last: Mutex::default() }
    }
}

#[async_trait]
impl Needs for Readiness {
    async fn missing(&self) -> Vec<&'static str> {
        if self.shutdown.is_cancelled() {
            return vec!["gateway"];
        }
        if !self.verifier.ready() {
            return vec!["identity"];
        }
        // Held over the question, so that many probes at once ask only once.
        let mut last = self.last.lock().await;
        if last.asked_at.is_none_or(|asked_at| asked_at.elapsed() >= KEPT) {
            last.missing = self.silent().await;
            last.asked_at = Some(Instant::now());
            last.complete |= last.missing.is_empty();
        }
        let sells = last.complete && !last.missing.contains(&NEEDED);
        if sells { Vec::new() } else { last.missing.clone() }
    }
}

impl Readiness {
    /// Services that do not answer.
    async fn silent(&self) -> Vec<&'static str> {
        let asked = self
            .services
            .iter()
            .map(|(name, service, client)| async { (!serves(client.clone(), service).await).then_some(*name) });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

async fn serves(mut client: HealthClient<MeshChannel>, service: &str) -> bool {
    let question = HealthCheckRequest { service: service.to_owned() };
    match timeout(PATIENCE, client.check(question)).await {
        Ok(Ok(answer)) => answer.into_inner().status() == ServingStatus::Serving,
        Ok(Err(_)) | Err(_) => false,
    }
}
