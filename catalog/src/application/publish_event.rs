//! An organiser puts an event on offer, and gets the answer once it can be booked.

use std::time::Duration;

use common::error::{ErrorKind, Refusal};
use common::ids::EventId;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::instrument;

use super::App;
use super::change_event::{ChangeEventError, change, load};
use super::once::once;
use super::ports::{Answer, Asked, OfferHolder};

/// How long publishing waits for booking to hold the offer.
const WAIT: Duration = Duration::from_secs(5);
/// Pause before booking is asked again; doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(800);

/// Why publishing did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum PublishEventError {
    /// It is not published.
    #[error(transparent)]
    Change(#[from] ChangeEventError),
    /// It is published, but booking does not hold it yet.
    #[error(transparent)]
    NotHeld(#[from] NotHeld),
}

/// Booking did not confirm an offer in time; the event is published all the same.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {0} is published, but booking did not confirm its offer in time: it will be on sale as soon as booking has fetched it; publish it again to wait for that"
)]
pub struct NotHeld(pub EventId);

impl Refusal for NotHeld {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }

    fn reason(&self) -> &'static str {
        "UNAVAILABLE"
    }
}

impl Refusal for PublishEventError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Change(error) => error.kind(),
            Self::NotHeld(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Change(error) => error.reason(),
            Self::NotHeld(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Change(error) => error.field(),
            Self::NotHeld(_) => None,
        }
    }
}

/// Publishes a draft and waits until booking holds its offer; of a published event it only waits.
#[instrument(name = "catalog.publish_event", skip_all, fields(event.id = id))]
pub async fn publish_event(app: &App, asked: &Asked, id: &str) -> Result<Answer, PublishEventError> {
    let published = once(app, asked, async {
        let published = change(app, asked, id, |event, outline| Ok(event.publish(outline, app.clock.now())?));
        Ok::<_, ChangeEventError>(published.await?.1)
    });
    let answer = published.await?;
    let event = load(app, id).await?;
    await_holder(&*app.offers, event.id, event.offer_version(), WAIT).await?;
    Ok(answer)
}

/// Waits until booking holds the offer of an event that an import published.
pub async fn await_first_offer(app: &App, event: EventId) -> Result<(), NotHeld> {
    await_holder(&*app.offers, event, 1, WAIT).await
}

async fn await_holder(holder: &dyn OfferHolder, event: EventId, version: i64, wait: Duration) -> Result<(), NotHeld> {
    let deadline = Instant::now() + wait;
    let mut pause = PAUSE;
    while Instant::now() < deadline {
        match timeout_at(deadline, holder.ensure(event, version)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => tracing::debug!(event.id = %event, "booking does not hold the offer yet: {error:#}"),
            Err(_) => break,
        }
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
    tracing::warn!(event.id = %event, "booking did not confirm offer {version} of event {event} in time");
    Err(NotHeld(event))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;

    use super::*;

    /// Fails a number of times, then holds.
    struct Failing(AtomicU32);

    #[async_trait]
    impl OfferHolder for Failing {
        async fn ensure(&self, _: EventId, _: i64) -> anyhow::Result<()> {
            let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map_or(Ok(()), |_| Err(anyhow::anyhow!("not yet")))
        }

        async fn stop(&self, _: EventId) -> anyhow::Result<()> {
            unreachable!("publishing stops nothing")
        }
    }

    /// Never answers.
    struct Frozen;

    #[async_trait]
    impl OfferHolder for Frozen {
        async fn ensure(&self, _: EventId, _: i64) -> anyhow::Result<()> {
            std::future::pending().await
        }

        async fn stop(&self, _: EventId) -> anyhow::Result<()> {
            unreachable!("publishing stops nothing")
        }
    }

    #[tokio::test]
    async fn booking_is_asked_again_until_it_holds_the_offer() {
        let holder = Failing(AtomicU32::new(3));

        assert!(await_holder(&holder, EventId::new(), 1, WAIT).await.is_ok());
    }

    #[tokio::test]
    async fn a_booking_that_never_confirms_is_not_waited_for_forever() {
        let refusing = Failing(AtomicU32::new(u32::MAX));
        let soon = Duration::from_millis(120);

        assert!(await_holder(&refusing, EventId::new(), 1, soon).await.is_err());
        assert!(await_holder(&Frozen, EventId::new(), 1, soon).await.is_err());
    }
}
