//! Offers: what booking sells from. An offer never changes; a changed event gets the next one.

use chrono::{DateTime, Utc};
use common::ids::{EventId, SeatingPlanId};

use super::event::Details;
use super::plan::Area;
use super::prices::PriceList;

/// The terms of one version of an event's offer. Its seats are those of the plan, priced by the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The event.
    pub event_id: EventId,
    /// From 1.
    pub version: i64,
    /// Title, times, limit and policy.
    pub details: Details,
    /// First instant of sale.
    pub sale_starts_at: DateTime<Utc>,
    /// Areas with their prices.
    pub areas: Vec<(Area, i64)>,
    /// Prices of seats.
    pub prices: PriceList,
    /// The plan whose seats are for sale, in its order.
    pub plan_id: SeatingPlanId,
}
