//! What only the embedded run has: the GraphiQL page, tokens on demand, and the key set of the development issuer.

use std::sync::Arc;

use anyhow::Context;
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::auth::Role;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::App;

const PAGE: &str = include_str!("../graphiql.html");
/// Where the page's pinned, integrity-checked assets come from.
const ASSETS: &str = "https://unpkg.com";

/// The page at `/`, with a policy that lets exactly its own script and assets run.
pub fn page() -> anyhow::Result<Router<Arc<App>>> {
    let policy = HeaderValue::try_from(policy(PAGE)?)?;
    let answer = move || {
        let policy = policy.clone();
        async move {
            let html = HeaderValue::from_static("text/html; charset=utf-8");
            ([(CONTENT_TYPE, html), (CONTENT_SECURITY_POLICY, policy)], PAGE)
        }
    };
    Ok(Router::new().route("/", get(answer)))
}

fn policy(page: &str) -> anyhow::Result<String> {
    let script = page.split_once("<script>").and_then(|(_, rest)| rest.split_once("</script>"));
    let (script, _) = script.context("graphiql.html has no inline script")?;
    let hash = STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, script.as_bytes()));
    Ok(format!(
        "default-src 'none'; script-src 'sha256-{hash}' {ASSETS}; style-src 'unsafe-inline' {ASSETS}; \
         img-src 'self' data:; font-src data: {ASSETS}; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    user: String,
    role: Role,
}

/// Mints a token for anybody who asks: this is the development issuer.
pub async fn token(State(app): State<Arc<App>>, body: Bytes) -> Response {
    match mint(&app, &body) {
        Ok(token) => Json(json!({"token": token})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({"error": format!("{error:#}")}))).into_response(),
    }
}

fn mint(app: &App, body: &[u8]) -> anyhow::Result<String> {
    let request: TokenRequest = serde_json::from_slice(body)
        .context(r#"expected {"user": "alice", "role": "Customer"}, where role is Customer or Admin"#)?;
    anyhow::ensure!(request.role != Role::Service, "role must be Customer or Admin");
    app.dev.as_ref().context("there is no development issuer")?.mint(&request.user, request.role)
}

/// The public key of the development issuer.
pub async fn jwks(State(app): State<Arc<App>>) -> Response {
    match &app.dev {
        Some(dev) => Json(dev.jwks()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_policy_names_its_own_script_and_no_inline_ones() {
        let policy = policy(PAGE).unwrap();

        assert!(policy.contains("script-src 'sha256-"), "{policy}");
        assert!(!policy.contains("script-src 'unsafe-inline'"), "{policy}");
        assert_eq!(PAGE.matches("<script").count(), 1, "one inline script, which loads the others");
    }

    #[test]
    fn every_asset_is_pinned_and_checked() {
        let urls = PAGE.matches(&format!("{ASSETS}/")).count();

        assert!(urls >= 4);
        assert_eq!(PAGE.matches("sha384-").count(), urls);
    }
}
