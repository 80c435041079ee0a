//! Waiting states act: a booking that waits for payment too long tells its last fact again and asks payment for its facts. The
//! first heals a lost question, the second a lost answer.

use std::sync::Arc;
use std::time::Duration;

use common::failpoint::{self, Step};
use common::inbox::Consumer;
use common::runtime::Shutdown;

use crate::infrastructure::store::Store;

/// Asks about bookings that wait too long. Apart from the sweeper, because a slow answer must not delay the end of holds.
pub struct Asker {
    store: Arc<Store>,
    payment: Arc<Consumer>,
    every: Duration,
    waiting: chrono::Duration,
}

impl Asker {
    /// Looks into `store` every so often; asks `payment` about bookings that wait longer than `waiting`.
    pub fn new(store: Arc<Store>, payment: Arc<Consumer>, every: Duration, waiting: Duration) -> Self {
        let waiting = chrono::Duration::from_std(waiting).unwrap_or(chrono::Duration::MAX);
        Self { store, payment, every, waiting }
    }

    /// Asks until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(error = format!("{error:#}"), "payment cannot be asked");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.every) => {}
            }
        }
        Ok(())
    }

    /// Asks about everything that waits too long by now; returns how many bookings that was.
    pub async fn round(&self) -> anyhow::Result<usize> {
        let mut asked = 0;
        for booking in self.store.waiting(self.waiting).await? {
            let noting = self.store.note_asked(booking, self.waiting);
            if !failpoint::around(Step::Ask, ["payment"], noting).await? {
                continue;
            }
            self.store.outbox.tell_last_again(self.store.db.writer(), booking.0).await?;
            self.store.outbox.wake();
            let told = self.payment.ask(booking.0).await?;
            tracing::info!(booking.id = %booking, told, "booking {booking} waits for its payment: asked again");
            asked += 1;
        }
        Ok(asked)
    }
}
