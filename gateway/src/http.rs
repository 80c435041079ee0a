//! The HTTP side: router, shared state, and what every answer gets.

mod dev;
mod graphql;
mod health;
mod negotiate;
mod observe;
mod params;
mod reply;
mod ticket_keys;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::middleware::{from_fn, map_response, map_response_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::serve::ListenerExt;
use common::auth::Identity;
use common::clock::Clock;
use common::dev_issuer::DevIssuer;
use common::runtime::{Shutdown, long_after};
use http::header::{CACHE_CONTROL, CONNECTION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;

use crate::cache::{self, Catalog};
use crate::clients::Clients;
use crate::config::Config;
use crate::cursor::Cursors;
use crate::graphql::Api;
use crate::rate_limit::Limiter;
use crate::redis::Redis;
use crate::schema::{self, Schema};
use health::Readiness;

/// What all requests share.
pub struct App {
    config: Config,
    identity: Identity,
    api: Arc<Api>,
    schema: Schema,
    readiness: Arc<Readiness>,
    shutdown: Shutdown,
    limiter: Limiter,
    ticket_keys: ticket_keys::Kept,
    dev: Option<Arc<DevIssuer>>,
}

impl App {
    /// Builds schema and clients; nothing is connected yet.
    ///
    /// # Errors
    /// An endpoint that is no address.
    pub fn new(
        config: Config,
        identity: Identity,
        clock: Arc<dyn Clock>,
        dev: Option<Arc<DevIssuer>>,
        shutdown: Shutdown,
    ) -> anyhow::Result<Arc<Self>> {
        if dev.is_none() && config.cursor_key.is_empty() {
            tracing::warn!("cursor_key is not set: cursors are signed with a public key");
        }
        let clients = Clients::new(&config)?;
        let readiness = Arc::new(Readiness::new(&clients, identity.verifier.clone(), shutdown.clone()));
        let redis = Redis::connect(&config.redis)?;
        let parts = cache::Parts {
            clients: clients.clone(),
            tokens: identity.tokens.clone(),
            clock,
            redis: redis.clone(),
            secret: config.cursor_key.expose().to_owned(),
            plan_bytes: config.plan_cache_bytes,
        };
        let catalog = Arc::new(Catalog::new(&config.cache, parts));
        let limiter = Limiter::new(&config.rate_limit, config.process.is_production(), redis);
        let api = Arc::new(Api { clients, cursors: Cursors::new(config.cursor_key.expose()), catalog });
        let schema = schema::build(dev.is_some());
        let ticket_keys = ticket_keys::Kept::default();
        Ok(Arc::new(Self { config, identity, api, schema, readiness, shutdown, limiter, ticket_keys, dev }))
    }

    /// What is kept of catalog, to be told of changes.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.api.catalog.clone()
    }

    /// What the gateway needs in order to work.
    pub fn readiness(&self) -> Arc<Readiness> {
        self.readiness.clone()
    }

    /// Whether this is the embedded run, where schema and page are open to everybody.
    fn is_open(&self) -> bool {
        self.dev.is_some()
    }
}

/// Serves until `shutdown`, and then on for a while, not ready and closing connections, so that load balancers notice
/// before anybody is refused. In the end requests under way finish.
///
/// # Errors
/// The listener breaks.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: Shutdown) -> anyhow::Result<()> {
    let (drain_delay, drain) = (app.config.drain_delay(), app.config.drain);
    let listener = listener.tap_io(|stream| {
        // Without it the last packet of an answer may wait for the client's acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let signal = shutdown.clone();
    let stop = async move { long_after(&signal, drain_delay).await };
    let service = router(app)?.into_make_service_with_connect_info::<SocketAddr>();
    tokio::select! {
        served = axum::serve(listener, service).with_graceful_shutdown(stop) => served.context("HTTP server"),
        () = long_after(&shutdown, drain_delay + drain) => {
            tracing::warn!("requests that did not end within {drain:?} are cut off");
            Ok(())
        }
    }
}

fn router(app: Arc<App>) -> anyhow::Result<Router> {
    let mut router = Router::new()
        .route("/graphql", any(graphql::answer))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/.well-known/eventix-ticket-keys.json", get(ticket_keys::answer));
    if app.is_open() {
        router = router
            .merge(dev::page()?)
            .route("/metrics", get(metrics))
            .route("/dev/token", post(dev::token))
            .route("/.well-known/jwks.json", get(dev::jwks))
            .layer(CorsLayer::permissive());
    }
    // Outermost last: security headers stand on every answer, also on one made of a caught panic.
    let closing = map_response_with_state(app.clone(), close_when_draining);
    Ok(router.layer(from_fn(observe::request)).layer(closing).layer(map_response(secure)).with_state(app))
}

async fn metrics(State(_): State<Arc<App>>) -> ([(HeaderName, &'static str); 1], String) {
    ([(http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], common::telemetry::metrics_text())
}

/// Sends keep-alive clients to another replica.
async fn close_when_draining(State(app): State<Arc<App>>, mut response: Response) -> Response {
    if app.shutdown.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Headers that no answer should go without.
async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}
