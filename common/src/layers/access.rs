//! Verifies the caller's token and checks its role against the service's table; what is not listed is refused.

use std::sync::Arc;

use axum::extract::{Request, State as Extracted};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;

use crate::auth::Verifier;
use crate::error::{ErrorKind, status};
use crate::grpc::AccessTable;

/// What the check needs.
pub struct State {
    /// Whose tokens are good.
    pub verifier: Arc<Verifier>,
    /// Who may call what.
    pub table: AccessTable,
}

/// Lets a call through with its `Principal` in the extensions, or answers UNAUTHENTICATED, PERMISSION_DENIED, or UNAVAILABLE while
/// the issuer's keys are not to be had.
pub async fn check(Extracted(state): Extracted<Arc<State>>, mut request: Request, next: Next) -> Response {
    let principal = match state.verifier.verify_header(request.headers().get(AUTHORIZATION)).await {
        Ok(principal) => principal,
        Err(error) => {
            let (kind, reason) = error.refusal();
            return refuse(kind, reason, &error.to_string());
        }
    };
    let method = request.uri().path().rsplit('/').next().unwrap_or_default();
    let allowed = state.table.iter().find(|(name, _)| *name == method).map_or(&[][..], |(_, roles)| *roles);
    if !principal.roles.iter().any(|role| allowed.contains(role)) {
        let message = format!("method {method} needs one of the roles {allowed:?}");
        return refuse(ErrorKind::PermissionDenied, "FORBIDDEN", &message);
    }
    request.extensions_mut().insert(principal);
    next.run(request).await
}

fn refuse(kind: ErrorKind, reason: &str, message: &str) -> Response {
    status(kind, reason, message, None, Default::default()).into_http()
}
