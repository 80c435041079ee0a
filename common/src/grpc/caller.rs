//! On whose behalf calls are made, and until when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::DEADLINE_DEFAULT;
use crate::auth::ServiceTokens;

/// On whose behalf calls are made, and until when.
#[derive(Clone)]
pub struct Caller {
    token: Arc<str>,
    deadline: Instant,
}

impl Caller {
    /// Calls with a user's own token, within the time the user was promised.
    pub fn user(token: &str, deadline: Instant) -> Self {
        Self { token: token.into(), deadline }
    }

    /// Calls as a service, where no user stands behind the call.
    ///
    /// # Errors
    /// No service token can be had.
    pub async fn service(tokens: &dyn ServiceTokens) -> anyhow::Result<Self> {
        Ok(Self { token: tokens.token().await?.into(), deadline: Instant::now() + DEADLINE_DEFAULT })
    }

    /// The same caller with another deadline.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self { token: self.token.clone(), deadline }
    }

    /// Wraps a message with token and remaining time.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if let Ok(value) = format!("Bearer {}", self.token).parse() {
            request.metadata_mut().insert("authorization", value);
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        request.set_timeout(left.max(Duration::from_millis(1)));
        request
    }
}
