//! What time brings about, in bounded, resumable steps: lapsed holds end, graces end, bookings of cancelled events end with all their money back. Expiry
//! works without it: a lapsed claim can be taken over at once.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::error::chain;
use common::failpoint::{self, Step};
use common::ids::BookingId;
use common::runtime::Shutdown;
use sea_orm::DbErr;

use crate::domain::booking::{Booking, Decision, EventCheck};
use crate::infrastructure::store::{Because, SWEEP_MAX, Store};

/// Who acts, in histories.
const ACTOR: &str = "sweeper";

/// Ends what is over, every so often, until shutdown.
pub async fn run(store: Arc<Store>, every: Duration, shutdown: Shutdown) -> anyhow::Result<()> {
    while !shutdown.is_cancelled() {
        let full = match round(&store).await {
            Ok(ended) => ended >= SWEEP_MAX,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "sweep failed");
                false
            }
        };
        // More than one step's worth lapsed at once: the rest does not wait.
        let pause = if full { Duration::ZERO } else { every };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    Ok(())
}

async fn round(store: &Store) -> Result<usize, DbErr> {
    Ok(end_lapsed(store).await? + end_of_cancelled(store).await?)
}

/// Ends lapsed holds and graces that are over; returns how many bookings changed.
pub async fn end_lapsed(store: &Store) -> Result<usize, DbErr> {
    let mut ended = 0;
    for id in store.lapsed().await? {
        ended += usize::from(step(store, id, "hold lapsed", |booking, _, now| booking.expire(now)).await?);
    }
    for id in store.grace_over().await? {
        ended += usize::from(step(store, id, "grace over", |booking, _, now| booking.end_grace(now)).await?);
    }
    Ok(ended)
}

/// Ends bookings of cancelled events, and gives back what was kept of others since; returns how many changed.
pub async fn end_of_cancelled(store: &Store) -> Result<usize, DbErr> {
    let mut ended = 0;
    for id in store.of_cancelled_events().await?.into_iter().chain(store.kept_since_cancelled().await?) {
        ended += usize::from(step(store, id, "event cancelled", Booking::end_with_event).await?);
    }
    Ok(ended)
}

/// One booking in one transaction; false when there was nothing to do, or when it failed and waits for the next round.
async fn step(
    store: &Store,
    id: BookingId,
    cause: &str,
    decide: impl FnOnce(&Booking, EventCheck, DateTime<Utc>) -> Option<Decision>,
) -> Result<bool, DbErr> {
    let transaction = store.db.begin().await?;
    let Some(booking) = store.lock(&transaction, id).await? else { return Ok(false) };
    let now = store.db.now(&transaction).await?;
    let event = store.event_check(&transaction, booking.event_id).await?;
    let Some(decision) = decide(&booking, event, now) else { return Ok(false) };
    let because = Because { cause, actor: ACTOR, now };
    if let Err(error) = store.transit(&transaction, &booking, decision, because).await {
        tracing::error!(booking.id = %id, error = %chain(&error), "booking {id} cannot be ended");
        return Ok(false);
    }
    failpoint::around(Step::Sweep, [cause], transaction.commit()).await?;
    store.outbox.wake();
    Ok(true)
}
