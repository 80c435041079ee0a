//! One server span per call, child of the caller's, and one measurement.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;
use tracing::Instrument;

use crate::telemetry::{self, Carrier};

/// Headers that carry a trace context.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// Reads the trace context of a request.
pub fn carrier(headers: &http::HeaderMap) -> Carrier {
    TRACE_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned())))
        .collect()
}

/// Traces and measures a gRPC call.
pub async fn rpc(State(service): State<&'static str>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let span = tracing::info_span!(
        "grpc.serve",
        otel.name = format!("{service}.{method}"),
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = tracing::field::Empty,
    );
    telemetry::set_parent(&span, &carrier(request.headers()));

    let response = next.run(request).instrument(span.clone()).await;

    // A unary refusal ends in its headers; what a stream says later is not seen here.
    let code = Status::from_header_map(response.headers()).map_or(tonic::Code::Ok, |s| s.code());
    span.record("rpc.grpc.status_code", i32::from(code));
    telemetry::record_request("rpc", service, known(&method, code), &format!("{code:?}"), started.elapsed());
    response
}

/// Keeps made-up method names out of the labels.
fn known(method: &str, code: tonic::Code) -> &str {
    use tonic::Code::{PermissionDenied, Unauthenticated, Unimplemented};
    if matches!(code, Unimplemented | PermissionDenied | Unauthenticated) { "refused" } else { method }
}
