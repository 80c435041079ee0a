//! One bounded answer in a bounded time, from the address asked and no other: a redirect is an answer like any other.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use tokio::time::timeout;

/// Time for one exchange, from connecting to the last byte.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of one answer; key sets have a few thousand.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why there is no answer. Never holds what was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// Connecting, answering or the last byte took too long.
    #[error("no whole answer within {PATIENCE:?}")]
    Timeout,
    /// No connection, or it broke.
    #[error("the exchange failed")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// Longer than anything believed.
    #[error("the answer is over {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Asks over HTTP and HTTPS.
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Http {
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config((*tls).clone()).https_or_http().enable_http1().build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    pub(super) async fn get(&self, uri: &Uri) -> Result<Answer, FetchError> {
        self.ask(request(Method::GET, uri, Bytes::new())).await
    }

    /// Posts a form.
    pub(super) async fn post(&self, uri: &Uri, form: String) -> Result<Answer, FetchError> {
        let mut request = request(Method::POST, uri, form.into());
        let encoded = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, encoded);
        self.ask(request).await
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Answer, FetchError> {
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| FetchError::Broken(error.into()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(broken_off)?;
            Ok(Answer { status, body: body.to_bytes() })
        };
        timeout(PATIENCE, exchange).await.unwrap_or(Err(FetchError::Timeout))
    }
}

fn request(method: Method, uri: &Uri, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}

fn broken_off(error: Box<dyn Error + Send + Sync>) -> FetchError {
    if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::Broken(error) }
}
