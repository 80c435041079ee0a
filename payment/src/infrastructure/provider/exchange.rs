//! One HTTP exchange within bounds: a request out, a status and at most so many bytes back.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A client; cheap to clone, keeps connections.
#[derive(Clone)]
pub(super) struct Exchange(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// Why there is no whole answer. It never means that nothing happened.
#[derive(Debug, thiserror::Error)]
#[error("no whole answer")]
pub(super) struct Broken(#[source] Box<dyn Error + Send + Sync>);

impl Exchange {
    /// A client that connects when it is used, by TLS where the address says so.
    pub(super) fn new(tls: Arc<ClientConfig>) -> Self {
        let mut plain = HttpConnector::new();
        plain.set_nodelay(true);
        plain.enforce_http(false);
        let connector = HttpsConnectorBuilder::new().with_tls_config((*tls).clone()).https_or_http();
        Self(Client::builder(TokioExecutor::new()).build(connector.enable_http1().wrap_connector(plain)))
    }

    /// Sends a request and reads the whole answer. Whoever calls bounds the time.
    ///
    /// # Errors
    /// The connection failed, or the answer was cut off or too long.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Broken> {
        let answer = self.0.request(request).await.map_err(|error| Broken(error.into()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(Broken)?;
        Ok((status, body.to_bytes()))
    }
}
