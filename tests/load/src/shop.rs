//! A client of one product: queries and mutations with development tokens, over kept-alive connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(60);

/// Cheap to clone.
#[derive(Clone)]
pub struct Shop {
    uri: http::Uri,
    http: Client<HttpConnector, Full<Bytes>>,
    issuer: Arc<DevIssuer>,
}

impl Shop {
    /// A client of the product at `gateway`.
    pub fn at(gateway: SocketAddr) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            uri: format!("http://{gateway}/graphql").parse()?,
            http: Client::builder(TokioExecutor::new()).build(connector),
            issuer: DevIssuer::new(Arc::new(SystemClock))?,
        })
    }

    /// A token; making one costs about a millisecond, so whoever measures makes them beforehand.
    pub fn token(&self, user: &str, role: Role) -> anyhow::Result<Arc<str>> {
        Ok(self.issuer.mint(user, role)?.into())
    }

    /// The data of an answer.
    ///
    /// # Errors
    /// No answer, an HTTP status outside 2xx, or any top-level error.
    pub async fn ask(&self, token: Option<&str>, query: &str, variables: Value) -> anyhow::Result<Value> {
        let body = json!({"query": query, "variables": variables}).to_string();
        let mut request = http::Request::post(self.uri.clone()).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let exchange = async {
            let response = self.http.request(request.body(Full::from(body))?).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            ensure!(status.is_success(), "HTTP {status}: {}", String::from_utf8_lossy(&bytes));
            Ok(bytes)
        };
        let bytes = tokio::time::timeout(ANSWER, exchange).await.context("no answer in time")??;
        let mut answer: Value = serde_json::from_slice(&bytes)?;
        match answer.get("errors") {
            None => Ok(answer["data"].take()),
            Some(errors) => bail!("{errors}"),
        }
    }

    /// The payload of a mutation whose input type is named after it.
    ///
    /// # Errors
    /// As [`Shop::ask`], and any userError.
    pub async fn mutate(&self, token: &str, name: &str, fields: &str, input: Value) -> anyhow::Result<Value> {
        let type_name = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {type_name}!) {{ {name}(input: $input) {{ {fields} userErrors {{ field code message }} }} }}"
        );
        let mut data = self.ask(Some(token), &query, json!({"input": input})).await?;
        let payload = data[name].take();
        match payload["userErrors"].as_array() {
            Some(errors) if errors.is_empty() => Ok(payload),
            _ => bail!("{name}: {}", payload["userErrors"]),
        }
    }
}
