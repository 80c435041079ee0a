//! What the stories need from outside: a store shaped by their decisions, and the service that sells.

use async_trait::async_trait;
use common::error::{ErrorKind, Refusal};
use common::ids::{EventId, SeatId, SeatingPlanId, VenueId};
use sea_orm::DbErr;

use crate::domain::event::{Decision, Event};
use crate::domain::plan::{Outline, Plan};
use crate::domain::venue::Venue;

/// The store cannot do its work.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub struct StoreError(#[from] pub anyhow::Error);

impl Refusal for StoreError {
    fn kind(&self) -> ErrorKind {
        self.0.downcast_ref::<DbErr>().map_or(ErrorKind::Internal, Refusal::kind)
    }

    fn reason(&self) -> &'static str {
        self.0.downcast_ref::<DbErr>().map_or("INTERNAL", Refusal::reason)
    }
}

/// Whether a guarded write took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Committed {
    /// It is stored.
    Done,
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
    /// Subject of the caller.
    pub actor: String,
}

/// Catalog's database, as its writers see it.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    /// Stores a venue; `false` when its name is taken.
    async fn add_venue(&self, venue: &Venue) -> Result<bool, StoreError>;

    /// Whether a venue exists.
    async fn has_venue(&self, id: VenueId) -> Result<bool, StoreError>;

    /// Stores a plan with everything that comes with it.
    async fn import(&self, import: Import) -> Result<(), StoreError>;

    /// What of a plan prices depend on, with the categories of those among `seats` that belong to it.
    async fn outline(&self, plan: SeatingPlanId, seats: &[SeatId]) -> Result<Option<Outline>, StoreError>;

    /// Stores a new event.
    async fn add_event(&self, decision: Decision, actor: &str) -> Result<(), StoreError>;

    /// Loads an event.
    async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError>;

    /// Writes event, offer, history and fact in one transaction, if nobody changed the event since it was loaded.
    async fn commit(&self, decision: Decision, actor: &str) -> Result<Committed, StoreError>;
}

/// The service that sells what is on offer.
#[async_trait]
pub trait OfferHolder: Send + Sync {
    /// Asks it to hold at least this version of an event's offer; returns once it does.
    async fn ensure(&self, event: EventId, version: i64) -> anyhow::Result<()>;

    /// Asks it to sell no more of a cancelled event; returns once it does not.
    async fn stop(&self, event: EventId) -> anyhow::Result<()>;
}
