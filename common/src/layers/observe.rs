//! One server span per call, child of the caller's, and one measurement.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;
use tracing::Instrument;

use crate::grpc::AccessTable;
use crate::telemetry::{self, Carrier};

/// Headers that carry a trace context.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// Methods of health and reflection, which no access table lists.
const OPEN: [&str; 3] = ["Check", "Watch", "ServerReflectionInfo"];

/// Reads the trace context of a request.
pub fn carrier(headers: &http::HeaderMap) -> Carrier {
    TRACE_HEADERS
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), headers.get(*name)?.to_str().ok()?.to_owned())))
        .collect()
}

/// Traces and measures a gRPC call.
pub async fn rpc(
    State((service, table)): State<(&'static str, AccessTable)>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let method = known(request.uri().path(), table);
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
    telemetry::record_request("rpc", service, method, &format!("{code:?}"), started.elapsed());
    response
}

/// Keeps made-up method names out of spans and labels.
fn known(path: &str, table: AccessTable) -> &'static str {
    let method = path.rsplit('/').next().unwrap_or_default();
    let methods = table.iter().map(|(method, _)| *method).chain(OPEN);
    methods.into_iter().find(|known| *known == method).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_clients_make_up_are_no_labels() {
        let table: AccessTable = &[("HoldSeats", &[])];

        assert_eq!(known("/eventix.booking.v1.BookingService/HoldSeats", table), "HoldSeats");
        assert_eq!(known("/grpc.health.v1.Health/Check", table), "Check");
        assert_eq!(known("/eventix.booking.v1.BookingService/Random1234", table), "unknown");
        assert_eq!(known("", table), "unknown");
    }
}
