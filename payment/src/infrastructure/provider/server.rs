//! The simulated provider as a process of its own: the same engine behind JSON over HTTP, as [`super::wire`] says.

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, middleware};
use common::ids::RefundId;
use common::money::Money;
use common::runtime::Shutdown;
use ring::digest::{Digest, SHA256, digest};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use super::http::IDEMPOTENCY_KEY;
use super::simulated::SimulatedProvider;
use super::wire::{self, AnswerBody, AuthoriseBody, CaptureBody, ChargeBody, ErrorBody, RefundBody, Word};
use crate::application::ports::{Answer, Provider, ProviderError};
use crate::domain::Reference;

/// Bytes of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;

struct Desk {
    provider: Arc<SimulatedProvider>,
    /// Digests of the secrets: comparing digests tells nothing about what they are made of.
    secrets: Vec<Digest>,
}

/// Serves the provider until shutdown to callers who show one of the secrets.
///
/// # Errors
/// The listener breaks.
pub async fn serve(
    listener: TcpListener,
    provider: Arc<SimulatedProvider>,
    secrets: Vec<String>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let app = router(provider, &secrets);
    axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned()).await.context("provider")
}

fn router(provider: Arc<SimulatedProvider>, secrets: &[String]) -> Router {
    let hash = |secret: &String| digest(&SHA256, secret.as_bytes());
    let desk = Arc::new(Desk { provider, secrets: secrets.iter().map(hash).collect() });
    Router::new()
        .route("/v1/charges", post(authorise))
        .route("/v1/charges/{reference}", get(status))
        .route("/v1/charges/{reference}/capture", post(capture))
        .route("/v1/charges/{reference}/void", post(void))
        .route("/v1/charges/{reference}/refunds", post(refund))
        .layer(middleware::from_fn_with_state(desk.clone(), check))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
}

/// Lets nobody pass who does not know a secret.
async fn check(State(desk): State<Arc<Desk>>, request: axum::extract::Request, next: middleware::Next) -> Response {
    let shown = request.headers().get(axum::http::header::AUTHORIZATION).map(|value| value.as_bytes());
    let shown = shown.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
    let shown = digest(&SHA256, shown);
    let is_known = desk.secrets.iter().any(|secret| secret.as_ref() == shown.as_ref());
    if is_known { next.run(request).await } else { Trouble::Stranger.into_response() }
}

/// Why there is no answer.
enum Trouble {
    Stranger,
    NotFound(String),
    Input(String),
    Unavailable(String),
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, error, reference) = match self {
            Self::Stranger => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", None),
            Self::NotFound(reference) => (StatusCode::NOT_FOUND, wire::NOT_FOUND, Some(reference)),
            Self::Input(what) => {
                tracing::warn!(what, "a request that cannot be served");
                (StatusCode::BAD_REQUEST, "INVALID_INPUT", None)
            }
            Self::Unavailable(why) => {
                tracing::error!(why, "the provider's ledger failed");
                (StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", None)
            }
        };
        (status, Json(ErrorBody { error: error.to_owned(), reference })).into_response()
    }
}

async fn authorise(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AnswerBody>, Trouble> {
    let body: AuthoriseBody = read(&body)?;
    let (reference, amount) = (known(&body.reference)?, money(body.amount)?);
    keyed(&headers, reference.as_str())?;
    let answer = desk.provider.authorise(&reference, amount, &body.token).await;
    told(&reference, None, Some(amount), answer)
}

async fn capture(
    State(desk): State<Arc<Desk>>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AnswerBody>, Trouble> {
    let body: CaptureBody = read(&body)?;
    let (reference, amount) = (known(&reference)?, money(body.amount)?);
    keyed(&headers, reference.as_str())?;
    let answer = desk.provider.capture(&reference, amount).await;
    told(&reference, None, Some(amount), answer)
}

async fn void(
    State(desk): State<Arc<Desk>>,
    Path(reference): Path<String>,
    headers: HeaderMap,
) -> Result<Json<AnswerBody>, Trouble> {
    let reference = known(&reference)?;
    keyed(&headers, reference.as_str())?;
    let answer = desk.provider.void(&reference).await;
    told(&reference, None, None, answer)
}

async fn refund(
    State(desk): State<Arc<Desk>>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<AnswerBody>, Trouble> {
    let body: RefundBody = read(&body)?;
    let (reference, amount, refund) = (known(&reference)?, money(body.amount)?, body.refund_id);
    keyed(&headers, &refund.to_string())?;
    let answer = desk.provider.refund(&reference, refund, amount).await;
    told(&reference, Some(refund), Some(amount), answer)
}

async fn status(State(desk): State<Arc<Desk>>, Path(reference): Path<String>) -> Result<Json<ChargeBody>, Trouble> {
    let Some((payment, attempt)) = Reference::parse(&reference) else { return Err(Trouble::NotFound(reference)) };
    match desk.provider.status(&Reference::of(payment, attempt)).await {
        Ok(Some(charge)) => Ok(Json(ChargeBody::of(&reference, charge))),
        Ok(None) => Err(Trouble::NotFound(reference)),
        Err(error) => Err(Trouble::Unavailable(error.to_string())),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| Trouble::Input(error.to_string()))
}

fn known(reference: &str) -> Result<Reference, Trouble> {
    let (payment, attempt) = Reference::parse(reference).ok_or(Trouble::Input("reference".to_owned()))?;
    Ok(Reference::of(payment, attempt))
}

fn money(amount: wire::Amount) -> Result<Money, Trouble> {
    Money::try_from(amount).map_err(|error| Trouble::Input(error.to_string()))
}

/// The same call under another key would be a mistake that must not pass for a second charge.
fn keyed(headers: &HeaderMap, key: &str) -> Result<(), Trouble> {
    let shown = headers.get(IDEMPOTENCY_KEY).map(|value| value.as_bytes());
    if shown == Some(key.as_bytes()) { Ok(()) } else { Err(Trouble::Input(IDEMPOTENCY_KEY.to_owned())) }
}

fn told(
    reference: &Reference,
    refund_id: Option<RefundId>,
    asked: Option<Money>,
    answer: Result<Answer, ProviderError>,
) -> Result<Json<AnswerBody>, Trouble> {
    let (outcome, code, amount) = match answer {
        Ok(Answer::Done) => (Word::Done, None, asked),
        Ok(Answer::Refused { code }) => (Word::Refused, Some(code), None),
        Ok(Answer::Pending) => (Word::Pending, None, None),
        // Said plainly: the caller finds that it is not what was asked for.
        Err(ProviderError::Mismatch { said }) => (Word::Done, None, Some(said)),
        Err(error @ (ProviderError::Timeout(_) | ProviderError::Unreachable(_))) => {
            return Err(Trouble::Unavailable(error.to_string()));
        }
    };
    let amount = amount.map(wire::Amount::from);
    Ok(Json(AnswerBody { reference: reference.to_string(), refund_id, outcome, code, amount }))
}
