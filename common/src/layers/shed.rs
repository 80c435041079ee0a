//! Sheds load: a call beyond the server's places is refused at once as UNAVAILABLE instead of queueing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Semaphore;

use crate::error::{ErrorKind, status};

/// Why such a call is refused; it was not begun.
pub(crate) const OVERLOADED: &str = "OVERLOADED";

/// So many calls may be under way.
pub fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count))
}

/// Lets a call through while there is a place. A stream gives its place back with its headers.
pub async fn limit(State(places): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match places.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => {
            let message = "too many calls at once, try again";
            status(ErrorKind::Unavailable, OVERLOADED, message, None, Default::default()).into_http()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tonic::Status;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn what_has_no_place_is_refused_at_once() {
        let places = places(1);
        let router = Router::new().route("/", get(|| async {})).layer(from_fn_with_state(places.clone(), limit));
        let call = || router.clone().oneshot(Request::get("/").body(Body::empty()).unwrap());

        let alone = call().await.unwrap();
        let taken = places.try_acquire().unwrap();
        let beyond = call().await.unwrap();
        drop(taken);
        let again = call().await.unwrap();

        assert!(Status::from_header_map(alone.headers()).is_none());
        assert_eq!(Status::from_header_map(beyond.headers()).unwrap().code(), tonic::Code::Unavailable);
        assert!(Status::from_header_map(again.headers()).is_none());
    }
}
