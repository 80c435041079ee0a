//! The server builder: health, reflection, the inbound stack, and a drain that ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tower::Service;

use crate::auth::{Principal, Role, Verifier};
use crate::error::{ErrorKind, status};
use crate::layers::{access, deadline, observe, panics, shed};
use crate::proto;
use crate::runtime::{Shutdown, long_after};

/// Concurrent requests one connection may have.
const STREAMS_MAX: u32 = 256;
/// Calls under way at once in one server; more are shed.
const CALLS_MAX: usize = 2048;
/// Bytes of one request's headers.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// How often a server looks whether it is ready to serve.
const READINESS_LOOK: Duration = Duration::from_millis(250);
/// How long calls under way may take after the stop signal: less than the services' drain, so that cutting the last ones
/// is still a clean end.
const DRAIN: Duration = Duration::from_secs(9);

/// Who may call what: method name to roles. What is not listed is refused.
pub type AccessTable = &'static [(&'static str, &'static [Role])];

/// A gRPC server of one Eventix service, with health, reflection and the whole inbound stack.
pub struct Server {
    service: &'static str,
    routes: Routes,
    verifier: Arc<Verifier>,
    access: AccessTable,
    reflects: bool,
}

impl Server {
    /// An empty server; `service` is its short name, for instance `booking`.
    pub fn new(service: &'static str, verifier: Arc<Verifier>, access: AccessTable) -> Self {
        Self { service, routes: Routes::default(), verifier, access, reflects: true }
    }

    /// Adds a generated service.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "adds a service, not a number")]
    pub fn add<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.routes = self.routes.add_service(service);
        self
    }

    /// Whether anybody may ask here which methods there are; the admin side tells in any case.
    #[must_use]
    pub fn reflecting(mut self, reflects: bool) -> Self {
        self.reflects = reflects;
        self
    }

    /// Serves until `shutdown`. Then health says NOT_SERVING, no connection is accepted any more, clients are told to go
    /// elsewhere (GOAWAY), and calls under way finish. `name` is the full protobuf name that health reports.
    ///
    /// # Errors
    /// The listener breaks, or reflection cannot be built.
    pub async fn serve(self, listener: TcpListener, name: &'static str, shutdown: Shutdown) -> anyhow::Result<()> {
        let service = self.service;
        let (health, health_service) = tonic_health::server::health_reporter();
        let first = serving(&self.verifier);
        for name in ["", name] {
            health.set_service_status(name, first).await;
        }
        let stop = tell_health(self.verifier.clone(), (health, name, first), shutdown.clone());
        let reflection = self.reflects.then(reflection).transpose()?;
        let mut routes = Routes::from(self.guarded()).add_service(health_service);
        if let Some(reflection) = reflection {
            routes = routes.add_service(reflection);
        }

        let serving = tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .add_routes(routes)
            .serve_with_incoming_shutdown(nodelay(listener), stop);
        tokio::select! {
            served = serving => served.with_context(|| format!("gRPC server of {service}")),
            () = long_after(&shutdown, DRAIN) => {
                tracing::warn!(service, "calls that did not end within {DRAIN:?} of the stop signal are cut off");
                Ok(())
            }
        }
    }

    /// The services behind the inbound stack.
    fn guarded(self) -> Router {
        // Outermost first: a panic anywhere below becomes INTERNAL; then every call is seen and counted, even a refused
        // one; then what is too much at once is shed, before it costs anything; then its time is bounded; then its caller
        // is verified and its role checked, so that nothing inside is reached without.
        let state = access::State { verifier: self.verifier, table: self.access };
        self.routes
            .into_axum_router()
            .layer(from_fn_with_state(Arc::new(state), access::check))
            .layer(from_fn(deadline::enforce))
            .layer(from_fn_with_state(shed::places(CALLS_MAX), shed::limit))
            .layer(from_fn_with_state((self.service, self.access), observe::rpc))
            .layer(from_fn(panics::catch))
    }
}

/// A service that cannot tell who calls is of no use to anybody.
fn serving(verifier: &Verifier) -> ServingStatus {
    if verifier.ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

/// Tells health how the service is until the stop signal, and then that nobody new should come while calls under way
/// finish.
async fn tell_health(
    verifier: Arc<Verifier>,
    (mut health, name, mut told): (HealthReporter, &str, ServingStatus),
    shutdown: Shutdown,
) {
    while tokio::time::timeout(READINESS_LOOK, shutdown.cancelled()).await.is_err() {
        let status = serving(&verifier);
        // Watchers are told of each word, also of one they know.
        if status != told {
            for name in ["", name] {
                health.set_service_status(name, status).await;
            }
            told = status;
        }
    }
    for name in ["", name] {
        health.set_service_status(name, ServingStatus::NotServing).await;
        // Whoever watches is told this, and then its stream ends: a stream without end would keep the server from stopping.
        health.clear_service_status(name).await;
    }
}

/// Tells which services and methods there are.
pub(crate) fn reflection() -> anyhow::Result<ServerReflectionServer<impl ServerReflection>> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("building reflection")
}

pub(crate) fn nodelay(
    listener: TcpListener,
) -> impl tokio_stream::Stream<Item = std::io::Result<tokio::net::TcpStream>> {
    use tokio_stream::StreamExt;
    TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// Binds a listener.
///
/// # Errors
/// Names the address, and says so when it is taken.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            return anyhow::anyhow!("{address} is already in use: stop what listens there or choose another port");
        }
        anyhow::anyhow!("cannot listen on {address}: {error}")
    })
}

/// The caller of a request that has passed [`Server`].
///
/// # Errors
/// INTERNAL when the service was built without the access layer, which is a bug of ours.
pub fn principal<T>(request: &tonic::Request<T>) -> Result<Principal, Status> {
    request
        .extensions()
        .get::<Principal>()
        .cloned()
        .ok_or_else(|| status(ErrorKind::Internal, "NO_PRINCIPAL", "internal error", None, Default::default()))
}
