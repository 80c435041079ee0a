//! An organiser drafts an event.

use common::error::{ErrorKind, Refusal};
use common::ids::EventId;
use tracing::instrument;

use super::App;
use super::once::once;
use super::ports::{Answer, Asked, StoreError};
use crate::domain::event::{Details, Event};
use crate::domain::fault::Fault;
use crate::domain::prices::{AskedPrice, PriceList, asked_seats};

/// An event to draft; ids are as the caller wrote them.
#[derive(Debug)]
pub struct NewEvent {
    /// Where.
    pub venue_id: String,
    /// On which plan.
    pub seating_plan_id: String,
    /// What people read, and when.
    pub details: Details,
    /// What it costs.
    pub prices: Vec<AskedPrice>,
}

/// Why an event is not drafted.
#[derive(Debug, thiserror::Error)]
pub enum CreateEventError {
    /// A field is at fault.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// No such venue or plan.
    #[error("{what} {id} does not exist")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// As the caller wrote it.
        id: String,
        /// Where the caller wrote it.
        field: &'static str,
    },
    /// Infrastructure trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for CreateEventError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_INPUT",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::Store(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Invalid(fault) => Some(fault.field.clone()),
            Self::NotFound { field, .. } => Some((*field).to_owned()),
            Self::Store(error) => error.field(),
        }
    }
}

/// Stores a draft.
#[instrument(name = "catalog.create_event", skip_all, fields(event.id = tracing::field::Empty))]
pub async fn create_event(app: &App, asked: &Asked, new: NewEvent) -> Result<Answer, CreateEventError> {
    once(app, asked, create(app, asked, new)).await
}

async fn create(app: &App, asked: &Asked, new: NewEvent) -> Result<Answer, CreateEventError> {
    let details = new.details.checked()?;
    let venue_id = common::ids::VenueId::parse(&new.venue_id);
    let known = match venue_id {
        Some(id) => app.store.has_venue(id).await?,
        None => false,
    };
    if !known {
        return Err(CreateEventError::NotFound { what: "venue", id: shown(new.venue_id), field: "venue_id" });
    }
    let outline = match common::ids::SeatingPlanId::parse(&new.seating_plan_id) {
        Some(plan) => app.store.outline(plan, &asked_seats(&new.prices)).await?,
        None => None,
    };
    let Some(outline) = outline else {
        let id = shown(new.seating_plan_id);
        return Err(CreateEventError::NotFound { what: "seating plan", id, field: "seating_plan_id" });
    };
    if Some(outline.venue_id) != venue_id {
        return Err(Fault::new("seating_plan_id", "belongs to another venue").into());
    }
    let prices = PriceList::new(&new.prices, &outline)?;
    let id = EventId::new();
    tracing::Span::current().record("event.id", tracing::field::display(id));

    Ok(app.store.add_event(Event::draft(id, details, prices, &outline), asked).await?)
}

/// An unknown id as messages show it.
fn shown(id: String) -> String {
    crate::domain::fault::quote(&id)
}
