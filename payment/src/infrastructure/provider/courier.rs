//! Delivers the simulated provider's callbacks: signed afresh with each try, until they are taken or three days have passed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use common::clock::Clock;
use common::error::chain;
use common::runtime::Shutdown;
use common::tls;
use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{Request, Uri};
use http_body_util::Full;
use sea_orm::DbErr;

use super::exchange::Exchange;
use super::signature::{HEADER, Secrets};
use super::simulated::{Callbacks, Delivery};
use super::wire::CallbackBody;

/// Longest wait for the other side.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long callbacks taken up belong to one courier: longer than a round lasts.
const LAPSE: Duration = Duration::from_secs(30);
/// How often the ledger is asked without being woken.
const POLL: Duration = Duration::from_millis(250);
/// Rounds between two clean-ups.
const ROUNDS_PER_CLEANUP: u32 = 4_000;

/// Brings callbacks to their address.
pub struct Courier {
    callbacks: Callbacks,
    exchange: Exchange,
    target: Uri,
    secrets: Secrets,
    clock: Arc<dyn Clock>,
}

impl Courier {
    /// A courier to `target`, who signs with every secret.
    ///
    /// # Errors
    /// The target is no address.
    pub fn new(callbacks: Callbacks, target: &str, secrets: Secrets, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let target: Uri = target.parse().with_context(|| format!("callback address {target:?}"))?;
        anyhow::ensure!(target.host().is_some(), "{target} is no address for callbacks");
        Ok(Self { callbacks, exchange: Exchange::new(tls::client_config(None)?), target, secrets, clock })
    }

    /// Delivers until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        for round in 0_u32.. {
            if shutdown.is_cancelled() {
                break;
            }
            match self.deliver().await {
                Ok(0) => {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = self.callbacks.wait(POLL) => {}
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "callbacks could not be read or settled");
                    tokio::time::sleep(POLL).await;
                }
            }
            if round % ROUNDS_PER_CLEANUP == 0 {
                let _ = self.callbacks.forget_old().await;
            }
        }
        Ok(())
    }

    /// Delivers what is due, all at once; returns how many were tried.
    pub async fn deliver(&self) -> Result<usize, DbErr> {
        let due = self.callbacks.take_up(LAPSE).await?;
        let tried = join_all(due.into_iter().map(|delivery| async {
            let taken = self.bring(&delivery).await;
            (delivery, taken)
        }))
        .await;
        if !tried.is_empty() {
            self.callbacks.settle(&tried).await?;
        }
        Ok(tried.len())
    }

    /// Whether the other side took it.
    async fn bring(&self, delivery: &Delivery) -> bool {
        let (event, reference) = (&delivery.event.id, &delivery.event.reference);
        match tokio::time::timeout(PATIENCE, self.post(delivery)).await {
            Ok(Ok(status)) if status.is_success() => return true,
            Ok(Ok(status)) => tracing::warn!(event, reference, %status, "callback {event} was refused"),
            Ok(Err(error)) => tracing::warn!(event, reference, error = format!("{error:#}"), "callback {event} failed"),
            Err(_) => tracing::warn!(event, reference, "callback {event} was not answered within {PATIENCE:?}"),
        }
        false
    }

    async fn post(&self, delivery: &Delivery) -> anyhow::Result<http::StatusCode> {
        let body = Bytes::from(serde_json::to_vec(&CallbackBody::of(&delivery.event, delivery.created_at))?);
        let signature = self.secrets.sign(&body, self.clock.now());
        let request = Request::post(self.target.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(HEADER, signature)
            .body(Full::new(body))?;
        Ok(self.exchange.send(request).await?.0)
    }
}
