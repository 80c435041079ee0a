//! The one gRPC server builder and the one client channel; every server and client of the mesh is made by them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::middleware::{from_fn, from_fn_with_state};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tower::Service;
use tower::retry::budget::{Budget, TpsBudget};
use tracing::Instrument;

use crate::auth::{Principal, Role, ServiceTokens, Verifier};
use crate::error::{ErrorKind, status};
use crate::layers::{access, deadline, observe, panics, shed};
use crate::runtime::Shutdown;
use crate::{proto, telemetry};

/// Concurrent requests one connection may have.
const STREAMS_MAX: u32 = 256;
/// Calls under way at once in one server; more are shed.
const CALLS_MAX: usize = 2048;
/// Bytes of one request's headers.
const HEADERS_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of one message, both ways.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Time a call may take when its caller names none.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
/// How often a server looks whether it is ready to serve.
const READINESS_LOOK: Duration = Duration::from_millis(250);
/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

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

    /// Serves until `shutdown`, then lets calls under way finish. `name` is the full protobuf name that health reports.
    ///
    /// # Errors
    /// The listener breaks, or reflection cannot be built.
    pub async fn serve(self, listener: TcpListener, name: &'static str, shutdown: Shutdown) -> anyhow::Result<()> {
        // Outermost first: a panic anywhere below becomes INTERNAL; then every call is seen and counted, even a refused
        // one; then what is too much at once is shed, before it costs anything; then its time is bounded; then its caller
        // is verified and its role checked, so that nothing inside is reached without.
        let state = access::State { verifier: self.verifier.clone(), table: self.access };
        let guarded = self
            .routes
            .into_axum_router()
            .layer(from_fn_with_state(Arc::new(state), access::check))
            .layer(from_fn(deadline::enforce))
            .layer(from_fn_with_state(shed::places(CALLS_MAX), shed::limit))
            .layer(from_fn_with_state(self.service, observe::rpc))
            .layer(from_fn(panics::catch));

        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_service_status(name, serving(&self.verifier)).await;
        let mut routes = Routes::from(guarded).add_service(health_service);
        if self.reflects {
            routes = routes.add_service(reflection()?);
        }

        let verifier = self.verifier;
        let stop = async move {
            while tokio::time::timeout(READINESS_LOOK, shutdown.cancelled()).await.is_err() {
                health.set_service_status(name, serving(&verifier)).await;
            }
            health.set_service_status(name, ServingStatus::NotServing).await;
        };
        tonic::transport::Server::builder()
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .add_routes(routes)
            .serve_with_incoming_shutdown(nodelay(listener), stop)
            .await
            .with_context(|| format!("gRPC server of {}", self.service))
    }
}

/// A service that cannot tell who calls is of no use to anybody.
fn serving(verifier: &Verifier) -> ServingStatus {
    if verifier.ready() { ServingStatus::Serving } else { ServingStatus::NotServing }
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

/// A client channel: trace context and a deadline ride along on every call. Cheap to clone; connects lazily.
#[derive(Clone)]
pub struct MeshChannel {
    inner: Channel,
    peer: &'static str,
}

impl MeshChannel {
    /// A channel to `http://host:port`; `peer` is the short name of the service there.
    pub fn new(peer: &'static str, address: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(|| format!("address of {peer}: {address:?}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5));
        Ok(Self { inner: endpoint.connect_lazy(), peer })
    }
}

impl Service<http::Request<Body>> for MeshChannel {
    type Response = http::Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let span = tracing::info_span!(
            "grpc.call",
            otel.name = format!("{}.{method}", self.peer),
            otel.kind = "client",
            rpc.system = "grpc",
            rpc.service = self.peer,
            rpc.method = method,
        );
        for (name, value) in telemetry::carry_span(&span) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                request.headers_mut().insert(name, value);
            }
        }
        Box::pin(self.inner.call(request).instrument(span))
    }
}

/// On whose behalf calls are made, and until when.
#[derive(Clone)]
pub struct Caller {
    token: Arc<str>,
    deadline: Instant,
}

impl Caller {
    /// Calls with a user's own token, within the time the user was promised.
    pub fn user(token: &str, deadline: Instant) -> Self {
        Self { token: token.into(), deadline }
    }

    /// Calls as a service, where no user stands behind the call.
    ///
    /// # Errors
    /// No service token can be had.
    pub async fn service(tokens: &dyn ServiceTokens) -> anyhow::Result<Self> {
        Ok(Self { token: tokens.token().await?.into(), deadline: Instant::now() + DEADLINE_DEFAULT })
    }

    /// The same caller with another deadline.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { token: self.token.clone(), deadline }
    }

    /// Wraps a message with token and remaining time.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Ok(value) = format!("Bearer {}", self.token).parse() {
            request.metadata_mut().insert("authorization", value);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        request.set_timeout(left.max(Duration::from_millis(1)));
        request
    }
}

/// Most attempts at one call.
const ATTEMPTS_MAX: u32 = 3;
/// Pause before the second attempt; doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// How long a first attempt counts towards the retries it allows.
const RETRY_WINDOW: Duration = Duration::from_secs(10);
/// Retries per second that are always allowed.
const RETRIES_PER_SECOND_MIN: u32 = 10;
/// Retries allowed per first attempt.
const RETRY_SHARE: f32 = 0.2;

/// Calls again while the peer is UNAVAILABLE. Only for reads, and for writes that carry a request id. All calls of the
/// process share one budget, so that retries cannot make an outage worse.
pub async fn with_retry<T, F, R>(call: F) -> Result<T, Status>
where
    F: FnMut() -> R,
    R: Future<Output = Result<tonic::Response<T>, Status>>,
{
    static BUDGET: LazyLock<TpsBudget> =
        LazyLock::new(|| TpsBudget::new(RETRY_WINDOW, RETRIES_PER_SECOND_MIN, RETRY_SHARE));
    retry_within(&BUDGET, call).await
}

async fn retry_within<T, F, R>(budget: &TpsBudget, mut call: F) -> Result<T, Status>
where
    F: FnMut() -> R,
    R: Future<Output = Result<tonic::Response<T>, Status>>,
{
    budget.deposit();
    let mut pause = RETRY_PAUSE;
    for attempt in 1.. {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if status.code() == Code::Unavailable && attempt < ATTEMPTS_MAX && budget.withdraw() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(status) => return Err(status),
        }
    }
    unreachable!("the last attempt returns")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn attempts(budget: &TpsBudget, code: Code) -> u32 {
        let attempts = AtomicU32::new(0);
        let refused = retry_within::<(), _, _>(budget, || {
            attempts.fetch_add(1, Ordering::SeqCst);
            async move { Err(Status::new(code, "no")) }
        });
        assert_eq!(refused.await.unwrap_err().code(), code);
        attempts.into_inner()
    }

    #[tokio::test]
    async fn only_unavailable_is_tried_again_and_only_so_often() {
        let budget = TpsBudget::new(RETRY_WINDOW, RETRIES_PER_SECOND_MIN, RETRY_SHARE);

        assert_eq!(attempts(&budget, Code::Unavailable).await, ATTEMPTS_MAX);
        assert_eq!(attempts(&budget, Code::DeadlineExceeded).await, 1);
        assert_eq!(attempts(&budget, Code::Internal).await, 1);
    }

    #[tokio::test]
    async fn a_spent_budget_ends_retries() {
        let budget = TpsBudget::new(RETRY_WINDOW, 0, 0.0);

        assert_eq!(attempts(&budget, Code::Unavailable).await, 1);
    }
}
