//! The adapter to a provider process: JSON over HTTP, as [`super::wire`] says. Only a well-formed answer of 200 about what was
//! asked counts; a broken connection, another status, another reference or plain nonsense mean that nothing is known.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use common::error::chain;
use common::ids::RefundId;
use common::money::Money;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::exchange::Exchange;
use super::wire::{self, AnswerBody, AuthoriseBody, CaptureBody, ChargeBody, ErrorBody, Nonsense, RefundBody, Word};
use crate::application::ports::{Answer, Charge, Provider, ProviderError};
use crate::domain::Reference;

/// The header that makes a call idempotent.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A provider process.
pub struct HttpProvider {
    exchange: Exchange,
    base: String,
    bearer: HeaderValue,
}

impl HttpProvider {
    /// The provider at `url`, which is shown the secret with every call, and met by TLS where the address says so.
    ///
    /// # Errors
    /// The address is none, or the secret does not fit a header.
    pub fn new(url: &str, secret: &str, tls: Arc<ClientConfig>) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse()?;
        anyhow::ensure!(uri.scheme().is_some() && uri.host().is_some(), "{url:?} is no address of a provider");
        let mut bearer = HeaderValue::try_from(format!("Bearer {secret}"))?;
        bearer.set_sensitive(true);
        Ok(Self { exchange: Exchange::new(tls), base, bearer })
    }

    async fn post<B: Serialize>(&self, path: &str, key: &str, body: &B) -> Result<AnswerBody, ProviderError> {
        let body = serde_json::to_vec(body).map_err(unreadable)?;
        let request =
            self.request(Method::POST, path).header(IDEMPOTENCY_KEY, key).header(CONTENT_TYPE, "application/json");
        let (status, answer) = self.send(request, body.into()).await?;
        if status == StatusCode::OK { read(&answer) } else { Err(unexpected(status)) }
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.base)).header(AUTHORIZATION, self.bearer.clone())
    }

    async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<(StatusCode, Bytes), ProviderError> {
        let request = request.body(Full::new(body)).map_err(unreadable)?;
        self.exchange.send(request).await.map_err(|error| ProviderError::Unreachable(chain(&error)))
    }
}

#[async_trait]
impl Provider for HttpProvider {
    async fn authorise(&self, reference: &Reference, amount: Money, token: &str) -> Result<Answer, ProviderError> {
        let name = reference.as_str();
        let body = AuthoriseBody { reference: name.to_owned(), amount: amount.into(), token: token.to_owned() };
        let answer = self.post("/v1/charges", name, &body).await?;
        judge(answer, reference, None, Some(amount))
    }

    async fn capture(&self, reference: &Reference, amount: Money) -> Result<Answer, ProviderError> {
        let path = format!("/v1/charges/{reference}/capture");
        let answer = self.post(&path, reference.as_str(), &CaptureBody { amount: amount.into() }).await?;
        judge(answer, reference, None, Some(amount))
    }

    async fn void(&self, reference: &Reference) -> Result<Answer, ProviderError> {
        let path = format!("/v1/charges/{reference}/void");
        let answer = self.post(&path, reference.as_str(), &serde_json::json!({})).await?;
        judge(answer, reference, None, None)
    }

    async fn refund(&self, reference: &Reference, refund: RefundId, amount: Money) -> Result<Answer, ProviderError> {
        let path = format!("/v1/charges/{reference}/refunds");
        let body = RefundBody { refund_id: refund, amount: amount.into() };
        let answer = self.post(&path, &refund.to_string(), &body).await?;
        judge(answer, reference, Some(refund), Some(amount))
    }

    async fn status(&self, reference: &Reference) -> Result<Option<Charge>, ProviderError> {
        let request = self.request(Method::GET, &format!("/v1/charges/{reference}"));
        let (status, body) = self.send(request, Bytes::new()).await?;
        match status {
            StatusCode::OK => {
                let charge: ChargeBody = read(&body)?;
                same(&charge.reference, reference)?;
                Ok(Some(Charge::try_from(charge).map_err(nonsense)?))
            }
            // Said by the provider about this very reference; anything else that answers 404 knows nothing.
            StatusCode::NOT_FOUND => {
                let error: ErrorBody = read(&body)?;
                same(error.reference.as_deref().unwrap_or_default(), reference)?;
                if error.error == wire::NOT_FOUND { Ok(None) } else { Err(unexpected(status)) }
            }
            other => Err(unexpected(other)),
        }
    }
}

/// Reads an answer about what was asked.
fn judge(
    answer: AnswerBody,
    reference: &Reference,
    refund: Option<RefundId>,
    asked: Option<Money>,
) -> Result<Answer, ProviderError> {
    same(&answer.reference, reference)?;
    if answer.refund_id != refund {
        return Err(ProviderError::Unreachable("it answered about another refund".to_owned()));
    }
    match answer.outcome {
        Word::Pending => Ok(Answer::Pending),
        Word::Refused => Ok(Answer::Refused { code: wire::word(answer.code, "code").map_err(nonsense)? }),
        Word::Done => match asked {
            None => Ok(Answer::Done),
            Some(asked) => {
                let said = wire::money(answer.amount, "amount").map_err(nonsense)?;
                if said == asked { Ok(Answer::Done) } else { Err(ProviderError::Mismatch { said }) }
            }
        },
    }
}

fn same(said: &str, reference: &Reference) -> Result<(), ProviderError> {
    if said == reference.as_str() {
        return Ok(());
    }
    Err(ProviderError::Unreachable("it answered about another reference".to_owned()))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ProviderError> {
    serde_json::from_slice(body).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> ProviderError {
    ProviderError::Unreachable(format!("its answer cannot be read: {error}"))
}

fn nonsense(error: Nonsense) -> ProviderError {
    ProviderError::Unreachable(format!("its answer makes no sense: {error}"))
}

fn unexpected(status: StatusCode) -> ProviderError {
    ProviderError::Unreachable(format!("it answered with status {status}"))
}
