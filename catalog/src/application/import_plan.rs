//! An organiser imports a seating plan, with its venue and an event on sale if asked for: all of it or nothing.

use common::error::{ErrorKind, Refusal};
use common::ids::{EventId, SeatingPlanId, VenueId};
use tracing::instrument;

use super::App;
use super::create_event::NewEvent;
use super::once::once;
use super::ports::{Answer, Asked, Import, StoreError, VenueChoice};
use crate::domain::event::{Decision, Event, Refused};
use crate::domain::fault::{Fault, quote};
use crate::domain::plan::{Additions, Outline, Plan};
use crate::domain::prices::{AskedPrice, AskedTarget, PriceList};
use crate::domain::venue::Venue;

/// What to import.
pub struct NewImport {
    /// An existing venue, as the caller wrote it; empty when `venue` is given.
    pub venue_id: String,
    /// A venue to find by name or to make.
    pub venue: Option<Venue>,
    /// What the file does not say.
    pub additions: Additions,
    /// An event to publish on the new plan.
    pub event: Option<NewEvent>,
    /// The file.
    pub file: Vec<u8>,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ImportPlanError {
    /// A field is at fault.
    #[error(transparent)]
    Invalid(#[from] Fault),
    /// No such venue.
    #[error("venue {0} does not exist")]
    VenueNotFound(String),
    /// Infrastructure trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for ImportPlanError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::VenueNotFound(_) => ErrorKind::NotFound,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "INVALID_INPUT",
            Self::VenueNotFound(_) => "NOT_FOUND",
            Self::Store(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Invalid(fault) => Some(fault.field.clone()),
            Self::VenueNotFound(_) => Some("venue_id".into()),
            Self::Store(error) => error.field(),
        }
    }
}

/// Stores a plan and what comes with it.
#[instrument(name = "catalog.import_plan", skip_all, fields(plan.id = tracing::field::Empty))]
pub async fn import_plan(app: &App, asked: &Asked, new: NewImport) -> Result<Answer, ImportPlanError> {
    once(app, asked, import(app, asked, new)).await
}

async fn import(app: &App, asked: &Asked, new: NewImport) -> Result<Answer, ImportPlanError> {
    let venue = venue_choice(app, &new.venue_id, new.venue).await?;
    let (plan, file) = read(new.file, new.additions).await?;
    let plan_id = SeatingPlanId::new();
    tracing::Span::current().record("plan.id", tracing::field::display(plan_id));
    let venue_id = match &venue {
        VenueChoice::Existing(id) => *id,
        VenueChoice::Named(venue) => venue.id,
    };
    let outline = plan.outline(plan_id, venue_id);
    let event = new.event.map(|event| on_sale(app, event, &outline).map_err(|fault| fault.inside("event")));
    let event = event.transpose()?;

    Ok(app.store.import(Import { plan_id, venue, plan, file, event }, asked).await?)
}

async fn venue_choice(app: &App, venue_id: &str, venue: Option<Venue>) -> Result<VenueChoice, ImportPlanError> {
    match (venue_id, venue) {
        ("", Some(venue)) => Ok(VenueChoice::Named(venue.checked().map_err(|fault| fault.inside("venue"))?)),
        ("", None) => Err(Fault::new("venue_id", "a plan needs a venue_id or a venue").into()),
        (_, Some(_)) => Err(Fault::new("venue", "give a venue_id or a venue, not both").into()),
        (text, None) => match VenueId::parse(text) {
            Some(id) if app.store.has_venue(id).await? => Ok(VenueChoice::Existing(id)),
            Some(_) | None => Err(ImportPlanError::VenueNotFound(quote(text))),
        },
    }
}

/// Reads the file on a thread of its own: a large one would hold up every other call.
async fn read(file: Vec<u8>, additions: Additions) -> Result<(Plan, Vec<u8>), ImportPlanError> {
    let reading = tokio::task::spawn_blocking(move || Plan::read(&file, additions).map(|plan| (plan, file)));
    let read =
        reading.await.map_err(|error| StoreError::Failed(anyhow::Error::new(error).context("reading a plan")))?;
    Ok(read?)
}

/// Drafts and publishes in one decision.
fn on_sale(app: &App, new: NewEvent, outline: &Outline) -> Result<Decision, Fault> {
    if !new.venue_id.is_empty() || !new.seating_plan_id.is_empty() {
        return Err(Fault::new("venue_id", "an event inside an import takes the import's venue and plan"));
    }
    let prices = PriceList::new(&areas_by_name(new.prices, outline), outline)?;
    let draft = Event::draft(EventId::new(), new.details.checked()?, prices, outline);
    let published = draft.next.publish(outline, app.clock.now()).map_err(|refused| match refused {
        Refused::Invalid(fault) => fault,
        Refused::State { .. } => Fault::new("starts_at", "cannot be published"),
    })?;
    let mut decision = published.expect("a draft is not published yet");
    decision.steps.splice(0..0, draft.steps);
    Ok(decision)
}

/// Nobody knows the ids of areas before the import: inside it, a price may name an area by its name, as an area or, when no
/// category has that name, as a category.
fn areas_by_name(asked: Vec<AskedPrice>, outline: &Outline) -> Vec<AskedPrice> {
    let id_of = |name: &str| outline.areas.iter().find(|area| area.name == name).map(|area| area.id.to_string());
    let has_category = |name: &str| outline.categories.iter().any(|category| category.name == name);
    asked
        .into_iter()
        .map(|price| {
            let target = match price.target {
                AskedTarget::Category(name) if !has_category(&name) => {
                    id_of(&name).map_or(AskedTarget::Category(name), AskedTarget::Area)
                }
                AskedTarget::Area(name) => AskedTarget::Area(id_of(&name).unwrap_or(name)),
                target @ (AskedTarget::Category(_) | AskedTarget::Seat(_) | AskedTarget::Missing) => target,
            };
            AskedPrice { target, ..price }
        })
        .collect()
}
