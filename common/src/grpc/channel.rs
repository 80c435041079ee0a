//! The one client channel: calls to one peer, spread over its replicas, with trace context.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use tracing::Instrument;

use super::balance::{Balance, Call};
use super::failure::unanswered;
use crate::telemetry;

/// How long a connection attempt may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is asked for a sign of life, also when it is idle: a host that vanished is noticed before a call
/// waits for it.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long that sign may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client channel to one peer: trace context and a deadline ride along on every call. Cheap to clone; connects lazily,
/// once per replica. A call without an answer is UNAVAILABLE or DEADLINE_EXCEEDED, never another code.
#[derive(Clone)]
pub struct MeshChannel {
    peer: &'static str,
    replicas: Arc<Replicas>,
}

struct Replicas {
    endpoints: Vec<(String, Channel)>,
    balance: Balance,
}

impl MeshChannel {
    /// A channel to the replicas at `http://host:port`; `peer` is the short name of the service there. A name with several
    /// addresses is one replica: it is looked up at each connection.
    ///
    /// # Errors
    /// No address, or one that is none.
    pub fn new(peer: &'static str, endpoints: impl IntoIterator<Item = impl ToString>) -> anyhow::Result<Self> {
        let endpoints = endpoints.into_iter().map(|address| connection(peer, address.to_string()));
        let endpoints: Vec<_> = endpoints.collect::<anyhow::Result<_>>()?;
        ensure!(!endpoints.is_empty(), "{peer} has no address");
        let balance = Balance::new(endpoints.len());
        Ok(Self { peer, replicas: Arc::new(Replicas { endpoints, balance }) })
    }
}

fn connection(peer: &str, address: String) -> anyhow::Result<(String, Channel)> {
    let endpoint = Endpoint::from_shared(address.clone())
        .with_context(|| format!("address of {peer}: {address:?}"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    Ok((address, endpoint.connect_lazy()))
}

impl Replicas {
    async fn call(&self, peer: &'static str, request: http::Request<Body>) -> http::Response<Body> {
        let (number, call) = self.balance.choose(Instant::now());
        let (address, channel) = &self.endpoints[number];
        match channel.clone().oneshot(request).await {
            Ok(response) => {
                match Status::from_header_map(response.headers()) {
                    Some(status) if status.code() == Code::Unavailable => call.failed(Instant::now()),
                    Some(_) | None => call.succeeded(),
                }
                let address = address.clone();
                response.map(|body| Body::new(Answer { body, peer, address, call }))
            }
            Err(error) => {
                let status = unanswered(peer, address, &error);
                if status.code() == Code::Unavailable {
                    call.failed(Instant::now());
                }
                status.into_http()
            }
        }
    }
}

impl Service<http::Request<Body>> for MeshChannel {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // The replica is chosen when the call is made, and waited for then.
        Poll::Ready(Ok(()))
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
        let (peer, replicas) = (self.peer, self.replicas.clone());
        Box::pin(async move { Ok(replicas.call(peer, request).await) }.instrument(span))
    }
}

/// An answer's body: its call is under way until the last byte, and a connection that breaks meanwhile says so.
struct Answer {
    body: Body,
    peer: &'static str,
    address: String,
    call: Call,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map_err(|error| {
            self.call.failed(Instant::now());
            unanswered(self.peer, &self.address, &error)
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
