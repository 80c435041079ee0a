//! An organiser changes, reprices or cancels an event.

use std::time::Duration;

use common::error::{ErrorKind, Refusal};
use common::ids::EventId;
use tracing::instrument;

use super::App;
use super::once::once;
use super::ports::{Answer, Asked, Committed, StoreError};
use crate::domain::event::{Decision, Details, Event, Refused, State};
use crate::domain::fault::{Fault, quote};
use crate::domain::plan::Outline;
use crate::domain::prices::{AskedPrice, PriceList, asked_seats};

/// How often a change is decided anew when others change the event at the same time.
const ATTEMPTS_MAX: u32 = 5;
/// How long a change waits for booking to know of it; the fact brings it there in any case.
const COURTESY: Duration = Duration::from_millis(500);

/// Why an event is not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeEventError {
    /// No such event.
    #[error("event {0} does not exist")]
    NotFound(String),
    /// A field is at fault.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// It is cancelled or over.
    #[error("{0}")]
    State(Refused),
    /// The caller has not seen the newest version.
    #[error("event {id} is at version {found}, not {expected}: read it again")]
    Version {
        /// Which event.
        id: EventId,
        /// What the caller has seen.
        expected: u64,
        /// What is stored.
        found: i64,
    },
    /// Others kept changing it.
    #[error("event {0} is being changed by others, try again")]
    Busy(EventId),
    /// Infrastructure trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refused> for ChangeEventError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Invalid(fault) => Self::Invalid(fault),
            Refused::State { .. } => Self::State(refused),
        }
    }
}

impl Refusal for ChangeEventError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::State(_) | Self::Version { .. } => ErrorKind::FailedPrecondition,
            Self::Busy(_) => ErrorKind::Unavailable,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "NOT_FOUND",
            Self::Invalid(_) => "INVALID_INPUT",
            Self::State(_) => "INVALID_STATE",
            Self::Version { .. } => "VERSION_CONFLICT",
            Self::Busy(_) => "UNAVAILABLE",
            Self::Store(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Invalid(fault) => Some(fault.field.clone()),
            Self::NotFound(_) => Some("event_id".into()),
            Self::Version { .. } => Some("expected_version".into()),
            Self::Store(error) => error.field(),
            Self::State(_) | Self::Busy(_) => None,
        }
    }
}

/// Changes what people read and when it takes place and sells, if the caller has seen the newest version.
#[instrument(name = "catalog.update_event", skip_all, fields(event.id = id))]
pub async fn update_event(
    app: &App,
    asked: &Asked,
    id: &str,
    expected_version: u64,
    edit: impl Fn(&mut Details) + Send + Sync,
) -> Result<Answer, ChangeEventError> {
    let changed = change(app, asked, id, |event, outline| {
        if event.version.cast_unsigned() != expected_version {
            let (id, found) = (event.id, event.version);
            return Err(ChangeEventError::Version { id, expected: expected_version, found });
        }
        let mut details = event.details.clone();
        edit(&mut details);
        let prices = event.prices.clone();
        Ok(event.change(details.checked()?, prices, outline, app.clock.now())?)
    });
    once(app, asked, async {
        let (event, answer) = changed.await?;
        offer_soon(app, &event).await;
        Ok(answer)
    })
    .await
}

/// Replaces the whole price list.
#[instrument(name = "catalog.set_prices", skip_all, fields(event.id = id))]
pub async fn set_prices(app: &App, asked: &Asked, id: &str, prices: &[AskedPrice]) -> Result<Answer, ChangeEventError> {
    once(app, asked, async {
        for _ in 0..ATTEMPTS_MAX {
            let event = load(app, id).await?;
            let outline = outline(app, &event, &asked_seats(prices)).await?;
            let prices = PriceList::new(prices, &outline)?;
            let details = event.details.clone();
            let decision = event.clone().change(details, prices, &outline, app.clock.now())?;
            if let Some((event, answer)) = commit(app, asked, event, decision).await? {
                offer_soon(app, &event).await;
                return Ok(answer);
            }
        }
        Err(busy(id))
    })
    .await
}

/// Calls an event off for ever.
#[instrument(name = "catalog.cancel_event", skip_all, fields(event.id = id))]
pub async fn cancel_event(app: &App, asked: &Asked, id: &str) -> Result<Answer, ChangeEventError> {
    once(app, asked, async {
        for _ in 0..ATTEMPTS_MAX {
            let event = load(app, id).await?;
            let on_sale = matches!(event.state, State::Published(_));
            let decision = event.clone().cancel(app.clock.now())?;
            if let Some((event, answer)) = commit(app, asked, event, decision).await? {
                if on_sale {
                    stop_soon(app, event.id).await;
                }
                return Ok(answer);
            }
        }
        Err(busy(id))
    })
    .await
}

/// Loads, decides and commits until nobody interferes; returns the event as it then stands, and the answer.
pub(super) async fn change(
    app: &App,
    asked: &Asked,
    id: &str,
    decide: impl Fn(Event, &Outline) -> Result<Option<Decision>, ChangeEventError> + Send + Sync,
) -> Result<(Event, Answer), ChangeEventError> {
    for _ in 0..ATTEMPTS_MAX {
        let event = load(app, id).await?;
        let seats: Vec<_> = event.prices.seats().map(|(seat, _)| seat).collect();
        let outline = outline(app, &event, &seats).await?;
        let decision = decide(event.clone(), &outline)?;
        if let Some(changed) = commit(app, asked, event, decision).await? {
            return Ok(changed);
        }
    }
    Err(busy(id))
}

pub(super) async fn load(app: &App, id: &str) -> Result<Event, ChangeEventError> {
    let event = match EventId::parse(id) {
        Some(id) => app.store.event(id).await?,
        None => None,
    };
    event.ok_or_else(|| ChangeEventError::NotFound(quote(id)))
}

async fn outline(app: &App, event: &Event, seats: &[common::ids::SeatId]) -> Result<Outline, StoreError> {
    let outline = app.store.outline(event.plan_id, seats).await?;
    outline.ok_or_else(|| anyhow::anyhow!("event {} is on a plan that is not there", event.id).into())
}

/// The event after the decision, and the answer; `None` when somebody else was faster.
async fn commit(
    app: &App,
    asked: &Asked,
    event: Event,
    decision: Option<Decision>,
) -> Result<Option<(Event, Answer)>, ChangeEventError> {
    let id = event.id;
    let next = decision.as_ref().map_or(event, |decision| decision.next.clone());
    match app.store.commit(id, decision, asked).await? {
        Committed::Done(answer) => Ok(Some((next, answer))),
        Committed::Stale => Ok(None),
    }
}

fn busy(id: &str) -> ChangeEventError {
    EventId::parse(id).map_or_else(|| ChangeEventError::NotFound(quote(id)), ChangeEventError::Busy)
}

/// Lets booking sell by the newest offer at once, when it is there; else the fact will.
async fn offer_soon(app: &App, event: &Event) {
    let State::Published(publication) = event.state else { return };
    let asked = tokio::time::timeout(COURTESY, app.offers.ensure(event.id, publication.offer_version)).await;
    if !matches!(asked, Ok(Ok(()))) {
        tracing::info!(event.id = %event.id, "offer {} will be fetched by its fact", publication.offer_version);
    }
}

/// Lets booking stop selling at once, when it is there; else the fact will.
async fn stop_soon(app: &App, event: EventId) {
    let asked = tokio::time::timeout(COURTESY, app.offers.stop(event)).await;
    if !matches!(asked, Ok(Ok(()))) {
        tracing::info!(event.id = %event, "event {event} will be taken off sale by its fact");
    }
}
