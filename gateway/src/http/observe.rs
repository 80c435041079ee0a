//! One root span and one measurement per request, the trace id in `x-trace-id`, and panics caught.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use common::{layers, telemetry};
use futures_util::FutureExt;
use http::HeaderValue;
use tracing::Instrument;
use tracing::field::Empty;

use super::negotiate::Media;
use super::reply::Rejection;
use crate::error::{Code, Fault};

/// How a GraphQL request ended, for metrics and span; travels in the response's extensions.
#[derive(Clone)]
pub struct Outcome {
    /// The root field, `several` or `refused`: a closed set, because only a valid document names fields here.
    operation: String,
    /// `OK`, or the code of its first error.
    code: &'static str,
}

impl Outcome {
    /// Of an executed operation.
    pub fn new(operation: &str, code: &'static str) -> Self {
        Self { operation: operation.to_owned(), code }
    }

    /// Of a request that was not executed.
    pub fn refused(code: &'static str) -> Self {
        Self::new("refused", code)
    }
}

/// Traces and measures a request.
pub async fn request(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    if route.starts_with("/health/") || route == "/metrics" {
        // Probes come every second and belong to nobody's trace.
        return next.run(request).await;
    }
    let started = Instant::now();
    let method = request.method().clone();
    let span = tracing::info_span!(
        "http.serve",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
        graphql.operation.name = Empty,
        graphql.outcome = Empty,
    );
    telemetry::set_parent(&span, &layers::observe::carrier(request.headers()));

    let mut response = caught(next.run(request)).instrument(span.clone()).await;

    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    if let Some(trace_id) = span.in_scope(telemetry::trace_id)
        && let Ok(value) = HeaderValue::try_from(trace_id)
    {
        response.headers_mut().insert("x-trace-id", value);
    }
    match response.extensions().get::<Outcome>() {
        Some(Outcome { operation, code }) => {
            span.record("otel.name", format!("{method} {route} {operation}"));
            span.record("graphql.operation.name", operation);
            span.record("graphql.outcome", code);
            telemetry::record_request("http", "gateway", operation, code, started.elapsed());
        }
        None => telemetry::record_request("http", "gateway", &route, &status.to_string(), started.elapsed()),
    }
    response
}

/// A panic in one request becomes an internal error of that request alone.
async fn caught(answer: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request panicked");
            Rejection::from(Fault::new(Code::Internal, "internal error")).into_response(Media::Json)
        }
    }
}
