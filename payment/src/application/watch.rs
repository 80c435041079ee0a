//! The watch: what is unknown or stuck, as metrics, and an alarm for outcomes that stay unknown.

use std::sync::Arc;
use std::time::Duration;

use common::error::chain;
use common::runtime::Shutdown;
use common::telemetry;

use super::alarm;
use super::ports::{PaymentStore, StoreError};
use crate::domain::StepKind;

/// Age of the oldest unknown outcome, seconds.
const UNKNOWN_OLDEST: &str = "eventix_payments_unknown_oldest_seconds";
/// Steps whose outcome is unknown, by kind.
const UNKNOWN: &str = "eventix_payments_unknown";
/// Steps that wait for a person, by kind.
const STUCK: &str = "eventix_payments_stuck";
/// How often it looks.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the provider's events are remembered; far longer than the provider tells them again.
const EVENTS_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Watches over unknown and stuck steps.
pub struct Watch {
    store: Arc<dyn PaymentStore>,
    patience: Duration,
}

impl Watch {
    /// Raises an alarm, and raises it again, for every outcome that stays unknown for `patience`.
    pub fn new(store: Arc<dyn PaymentStore>, patience: Duration) -> Self {
        Self { store, patience }
    }

    /// Measures and alarms until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.look().await {
                tracing::warn!(error = %chain(&error), "unknown and stuck steps could not be looked at");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(PAUSE.min(self.patience)) => {}
            }
        }
        Ok(())
    }

    /// Looks once.
    ///
    /// # Errors
    /// The database fails.
    pub async fn look(&self) -> Result<(), StoreError> {
        let standing = self.store.standing().await?;
        for kind in StepKind::ALL {
            let gauge = |name, counts: &std::collections::HashMap<StepKind, u64>| {
                let count = counts.get(kind).copied().unwrap_or_default();
                telemetry::set_gauge(name, "payment", kind.word(), count as f64);
            };
            gauge(UNKNOWN, &standing.unknown);
            gauge(STUCK, &standing.stuck);
        }
        let oldest = standing.oldest_unknown.unwrap_or_default();
        telemetry::set_gauge(UNKNOWN_OLDEST, "payment", "all", oldest.as_secs_f64());

        for step in self.store.alarm_unknown(self.patience).await? {
            alarm::unknown(&step);
        }
        self.store.forget_events(EVENTS_KEPT).await?;
        Ok(())
    }
}
