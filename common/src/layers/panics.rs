//! A panic in one call becomes INTERNAL for that call and an error in the log; the server goes on.

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;

use crate::error::{ErrorKind, status};

/// Catches panics below.
pub async fn catch(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a call panicked");
            status(ErrorKind::Internal, "INTERNAL", "internal error", None, Default::default()).into_http()
        }
    }
}
