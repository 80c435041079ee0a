//! What the stories need from outside: a store shaped by their decisions, and the service that sells.

use async_trait::async_trait;
use common::error::{ErrorKind, Refusal};
use common::ids::{EventId, SeatId, SeatingPlanId, VenueId};
use common::requests::{RequestIdError, RequestKey};
use sea_orm::DbErr;

use crate::domain::event::{Decision, Event};
use crate::domain::plan::{Outline, Plan};
use crate::domain::venue::Venue;

/// The store does not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot.
    #[error("the store failed")]
    Failed(#[from] anyhow::Error),
    /// The request id is another request's.
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Failed(error.into())
    }
}

impl Refusal for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Failed(error) => error.downcast_ref::<DbErr>().map_or(ErrorKind::Internal, Refusal::kind),
            Self::RequestId(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Failed(error) => error.downcast_ref::<DbErr>().map_or("INTERNAL", Refusal::reason),
            Self::RequestId(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Failed(_) => None,
            Self::RequestId(error) => error.field(),
        }
    }
}

/// Who asks for a write, and under which request id.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Subject of the caller.
    pub actor: String,
    /// `None`: every call is one of its own.
    pub key: Option<RequestKey>,
}

/// What the caller of a write is answered, encoded; remembered under its request id in the transaction of its work.
pub type Answer = Vec<u8>;

/// Whether a guarded write took place.
#[derive(Debug, PartialEq, Eq)]
pub enum Committed {
    /// It is stored, now or before by the same request.
    Done(Answer),
    /// Somebody else was faster; nothing was stored.
    Stale,
}

/// Whose plan it becomes.
#[derive(Debug)]
pub enum VenueChoice {
    /// A venue that exists.
    Existing(VenueId),
    /// The venue of this name, made when there is none.
    Named(Venue),
}

/// A plan to store, all or nothing.
#[derive(Debug)]
pub struct Import {
    /// Id of the plan.
    pub plan_id: SeatingPlanId,
    /// Its venue.
    pub venue: VenueChoice,
    /// The plan.
    pub plan: Plan,
    /// The file it came from.
    pub file: Vec<u8>,
    /// An event on it; its venue is the one chosen.
    pub event: Option<Decision>,
}

/// Catalog's database, as its writers see it.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    /// What a request was answered before, if it was.
    async fn answered(&self, key: &RequestKey) -> Result<Option<Answer>, StoreError>;

    /// Stores a venue; stale when its name is taken.
    async fn add_venue(&self, venue: &Venue, asked: &Asked) -> Result<Committed, StoreError>;

    /// Whether a venue exists.
    async fn has_venue(&self, id: VenueId) -> Result<bool, StoreError>;

    /// Stores a plan with everything that comes with it.
    async fn import(&self, import: Import, asked: &Asked) -> Result<Answer, StoreError>;

    /// What of a plan prices depend on, with the categories of those among `seats` that belong to it.
    async fn outline(&self, plan: SeatingPlanId, seats: &[SeatId]) -> Result<Option<Outline>, StoreError>;

    /// Stores a new event.
    async fn add_event(&self, decision: Decision, asked: &Asked) -> Result<Answer, StoreError>;

    /// Loads an event.
    async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError>;

    /// Writes event, offer, history and fact in one transaction, if nobody changed the event since it was loaded. Without a
    /// decision the event stays as it is, and only the answer is remembered.
    async fn commit(&self, id: EventId, decision: Option<Decision>, asked: &Asked) -> Result<Committed, StoreError>;
}

/// The service that sells what is on offer.
#[async_trait]
pub trait OfferHolder: Send + Sync {
    /// Asks it to hold at least this version of an event's offer; returns once it does.
    async fn ensure(&self, event: EventId, version: i64) -> anyhow::Result<()>;

    /// Asks it to sell no more of a cancelled event; returns once it does not.
    async fn stop(&self, event: EventId) -> anyhow::Result<()>;
}
