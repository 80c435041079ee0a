//! Whether a process should get work: what its service needs, asked by the admin side and by probes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::auth::Verifier;
use crate::db::Db;
use crate::runtime::Shutdown;

/// How long one thing may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a service needs in order to work.
#[async_trait]
pub trait Needs: Send + Sync {
    /// Names of what is missing now.
    async fn missing(&self) -> Vec<&'static str>;
}

/// The health of one process: unready until its service says what it needs, and again once it is to stop.
#[derive(Clone)]
pub struct Health {
    needs: Arc<OnceLock<Arc<dyn Needs>>>,
    verifier: Arc<Verifier>,
    shutdown: Shutdown,
}

impl Health {
    /// Of a process that is starting.
    pub fn starting(verifier: Arc<Verifier>, shutdown: Shutdown) -> Self {
        Self { needs: Arc::default(), verifier, shutdown }
    }

    /// The service works from now on, while it has what it needs. Said once; later words change nothing.
    pub fn serving(&self, needs: Arc<dyn Needs>) {
        let _ = self.needs.set(needs);
    }

    /// Names of what is missing: nothing means ready.
    pub async fn missing(&self) -> Vec<&'static str> {
        if self.shutdown.is_cancelled() {
            return vec!["draining"];
        }
        if !self.verifier.ready() {
            return vec!["identity"];
        }
        match self.needs.get() {
            Some(needs) => needs.missing().await,
            None => vec!["starting"],
        }
    }
}

#[async_trait]
impl Needs for Db {
    async fn missing(&self) -> Vec<&'static str> {
        match timeout(PATIENCE, self.ping()).await {
            Ok(Ok(())) => Vec::new(),
            Ok(Err(_)) | Err(_) => vec!["database"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::dev_issuer::DevIssuer;

    #[tokio::test]
    async fn a_process_is_ready_between_its_start_and_its_drain() {
        let shutdown = Shutdown::new();
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let health = Health::starting(issuer.verifier().unwrap(), shutdown.clone());
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/t.db?mode=rwc", folder.path().display());
        assert_eq!(health.missing().await, ["starting"]);

        health.serving(Arc::new(Db::connect(&url, 1).await.unwrap()));
        assert!(health.missing().await.is_empty());

        shutdown.cancel();
        assert_eq!(health.missing().await, ["draining"]);
    }
}
