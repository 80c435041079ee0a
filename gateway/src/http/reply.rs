//! What goes back: an answer with data, or a rejection before anything was executed. Both get codes and the trace id.

use std::time::Duration;

use async_graphql::{PathSegment, ServerError, Value};
use axum::body::Body;
use axum::response::Response;
use common::telemetry;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::negotiate::Media;
use super::observe::Outcome;
use crate::error::{Code, Fault};
use crate::rate_limit::TooOften;

/// A request that is not executed.
#[derive(Debug)]
pub struct Rejection {
    /// `None`: the request was well formed, its document was not; the media type decides the status.
    status: Option<StatusCode>,
    fault: Fault,
    errors: Vec<ServerError>,
    allow: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Rejection {
    /// A request that breaks a rule of HTTP or of GraphQL over HTTP.
    pub fn http(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status: Some(status), ..Self::from(Fault::new(Code::BadUserInput, message)) }
    }

    /// A method that is not allowed, with those that are.
    pub fn method(message: &str, allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::http(StatusCode::METHOD_NOT_ALLOWED, message) }
    }

    /// A document that is not valid.
    pub fn document(message: impl Into<String>) -> Self {
        Fault::new(Code::ValidationFailed, message).into()
    }

    /// A document that the engine refused before executing it.
    pub fn errors(errors: Vec<ServerError>) -> Self {
        Self { errors, ..Self::document("") }
    }

    /// Makes the response.
    pub fn into_response(self, media: Media) -> Response {
        let refused = match media {
            Media::GraphqlResponse => StatusCode::BAD_REQUEST,
            Media::Json => StatusCode::OK,
        };
        let status = self.status.unwrap_or(refused);
        let code = self.fault.code;
        let mut errors = self.errors;
        if errors.is_empty() {
            errors.push(async_graphql::Error::from(self.fault).into_server_error(Default::default()));
            errors[0].locations.clear();
        }
        let mut response = respond(media, status, None, &errors, Outcome::refused(code.as_str()));
        if let Some(allow) = self.allow {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(seconds) = self.retry_after.map(whole_seconds) {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        let status = match fault.code {
            Code::Unauthenticated => Some(StatusCode::UNAUTHORIZED),
            Code::Forbidden => Some(StatusCode::FORBIDDEN),
            Code::BadUserInput => Some(StatusCode::BAD_REQUEST),
            Code::ValidationFailed => None,
            Code::RateLimited => Some(StatusCode::TOO_MANY_REQUESTS),
            Code::Internal => Some(StatusCode::INTERNAL_SERVER_ERROR),
            Code::Unavailable => Some(StatusCode::SERVICE_UNAVAILABLE),
        };
        Self { status, fault, errors: Vec::new(), allow: None, retry_after: None }
    }
}

impl From<TooOften> for Rejection {
    fn from(TooOften { retry_after }: TooOften) -> Self {
        let fault = Fault::new(Code::RateLimited, "too many requests, try again later");
        Self { retry_after: Some(retry_after), ..Self::from(fault) }
    }
}

/// Rounded up: who comes back then is let through.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Answers what was executed.
pub fn executed(media: Media, operation: &str, data: &Value, errors: &[ServerError]) -> Response {
    let code = errors.first().map_or("OK", |error| code_of(error).as_str());
    respond(media, StatusCode::OK, Some(data), errors, Outcome::new(operation, code))
}

fn respond(
    media: Media,
    status: StatusCode,
    data: Option<&Value>,
    errors: &[ServerError],
    outcome: Outcome,
) -> Response {
    let trace_id = telemetry::trace_id();
    let errors = errors.iter().map(|error| ErrorBody::of(error, trace_id.as_deref())).collect();
    let body = serde_json::to_vec(&ResponseBody { errors, data }).expect("keys are strings and numbers are finite");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media.content_type());
    response.extensions_mut().insert(outcome);
    response
}

/// The code of an error: our own faults carry it; the engine's are about the document, or an argument of a field.
fn code_of(error: &ServerError) -> Code {
    match error.source::<Fault>() {
        Some(fault) => fault.code,
        None if error.path.is_empty() => Code::ValidationFailed,
        None => Code::BadUserInput,
    }
}

#[derive(Serialize)]
struct ResponseBody<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ErrorBody<'a>>,
    /// Absent, not null, when nothing was executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    message: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    locations: &'a [async_graphql::Pos],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    path: &'a [PathSegment],
    extensions: ErrorExtensions<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorExtensions<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
}

impl<'a> ErrorBody<'a> {
    fn of(error: &'a ServerError, trace_id: Option<&'a str>) -> Self {
        let extensions = ErrorExtensions { code: code_of(error).as_str(), trace_id };
        Self { message: &error.message, locations: &error.locations, path: &error.path, extensions }
    }
}
