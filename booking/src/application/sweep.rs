//! What time brings about, in bounded, resumable steps: lapsed holds end, graces end, bookings of cancelled events end, and
//! questions that were not answered are asked again. Expiry works without it: a lapsed claim can be taken over at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::error::chain;
use common::ids::BookingId;
use common::inbox::Consumer;
use common::runtime::Shutdown;
use sea_orm::DbErr;

use crate::domain::booking::{Booking, Decision};
use crate::infrastructure::store::Store;

/// Who acts, in histories.
const ACTOR: &str = "sweeper";

/// Ends what is over.
pub struct Sweeper {
    store: Arc<Store>,
    payment: Arc<Consumer>,
    every: Duration,
    waiting: chrono::Duration,
}

impl Sweeper {
    /// Sweeps `store` every so often; asks `payment` about bookings that wait longer than `waiting`.
    pub fn new(store: Arc<Store>, payment: Arc<Consumer>, every: Duration, waiting: Duration) -> Self {
        let waiting = chrono::Duration::from_std(waiting).unwrap_or(chrono::Duration::MAX);
        Self { store, payment, every, waiting }
    }

    /// Sweeps until shutdown.
    pub async fn run(self, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(error = format!("{error:#}"), "sweep failed");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.every) => {}
            }
        }
        Ok(())
    }

    async fn round(&self) -> anyhow::Result<()> {
        end_lapsed(&self.store).await?;
        end_of_cancelled(&self.store).await?;
        self.ask_again().await
    }

    /// The first heals a lost question, the second a lost answer.
    async fn ask_again(&self) -> anyhow::Result<()> {
        for booking in self.store.waiting(self.waiting).await? {
            self.store.outbox.tell_last_again(self.store.db.writer(), booking.0).await?;
            self.store.outbox.wake();
            let told = self.payment.ask(booking.0).await?;
            tracing::info!(booking.id = %booking, told, "booking {booking} waits for its payment: asked again");
        }
        Ok(())
    }
}

/// Ends lapsed holds and graces that are over; returns how many bookings changed.
pub async fn end_lapsed(store: &Store) -> Result<usize, DbErr> {
    let mut ended = 0;
    for id in store.lapsed().await? {
        ended += usize::from(step(store, id, "hold lapsed", Booking::expire).await?);
    }
    for id in store.grace_over().await? {
        ended += usize::from(step(store, id, "grace over", Booking::end_grace).await?);
    }
    Ok(ended)
}

/// Ends bookings of cancelled events; returns how many changed.
pub async fn end_of_cancelled(store: &Store) -> Result<usize, DbErr> {
    let mut ended = 0;
    for id in store.of_cancelled_events().await? {
        ended += usize::from(step(store, id, "event cancelled", |booking, _| booking.end_with_event()).await?);
    }
    Ok(ended)
}

/// One booking in one transaction; false when there was nothing to do, or when it failed and waits for the next round.
async fn step(
    store: &Store,
    id: BookingId,
    cause: &str,
    decide: impl FnOnce(&Booking, DateTime<Utc>) -> Option<Decision>,
) -> Result<bool, DbErr> {
    let transaction = store.db.begin().await?;
    let Some(booking) = store.lock(&transaction, id).await? else { return Ok(false) };
    let now = store.db.now(&transaction).await?;
    let Some(decision) = decide(&booking, now) else { return Ok(false) };
    if let Err(error) = store.transit(&transaction, &booking, decision, cause, ACTOR).await {
        tracing::error!(booking.id = %id, error = %chain(&error), "booking {id} cannot be ended");
        return Ok(false);
    }
    transaction.commit().await?;
    store.outbox.wake();
    Ok(true)
}
