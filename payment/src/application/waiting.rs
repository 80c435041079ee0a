//! Payments that wait too long act: they tell their last fact again, which heals a lost question, and booking is asked
//! for its news, which heals a lost answer.

use std::sync::Arc;
use std::time::Duration;

use common::error::chain;
use common::inbox::Consumer;
use common::runtime::Shutdown;
use tracing::instrument;
use uuid::Uuid;

use super::ports::{Overdue, PaymentStore, StoreError};

/// Watches over payments in waiting states.
pub struct Waiting {
    store: Arc<dyn PaymentStore>,
    patience: Duration,
}

impl Waiting {
    /// Nudges what has waited longer than `patience`.
    pub fn new(store: Arc<dyn PaymentStore>, patience: Duration) -> Self {
        Self { store, patience }
    }

    /// Payments that hold money and wait for booking to say capture or void.
    pub async fn waiting(&self) -> Result<Vec<Uuid>, StoreError> {
        Ok(waiting_for_booking(&self.store.overdue(self.patience).await?))
    }

    /// Tells the last fact of every overdue payment again, and returns those to ask booking about.
    #[instrument(name = "payment.nudge", skip_all)]
    pub async fn nudge(&self) -> Result<Vec<Uuid>, StoreError> {
        let overdue = self.store.overdue(self.patience).await?;
        for payment in &overdue {
            self.store.tell_again(payment.payment_id).await?;
        }
        if !overdue.is_empty() {
            self.store.committed();
        }
        Ok(waiting_for_booking(&overdue))
    }

    /// Nudges, and asks booking, until shutdown.
    pub async fn run(self, booking: Arc<Consumer>, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            match self.nudge().await {
                Ok(payments) => ask(&booking, payments).await,
                Err(error) => tracing::warn!(error = %chain(&error), "waiting payments could not be nudged"),
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.patience / 4) => {}
            }
        }
        Ok(())
    }
}

async fn ask(booking: &Consumer, payments: Vec<Uuid>) {
    for payment in payments {
        if let Err(error) = booking.ask(payment).await {
            tracing::warn!(payment.id = %payment, error = format!("{error:#}"), "booking could not be asked about payment {payment}");
        }
    }
}

fn waiting_for_booking(overdue: &[Overdue]) -> Vec<Uuid> {
    overdue.iter().filter(|o| o.waits_for_booking).map(|o| o.payment_id.0).collect()
}
