//! An offer as booking sells from it: frozen by catalog per version, kept in memory for its prices.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::ids::{AreaId, EventId, SeatId, SeatingPlanId};
use common::money::{Currency, Money};

use super::hall::Hall;
use super::policy::Policy;

/// One version of an event's offer.
#[derive(Debug)]
pub struct Offer {
    /// What it says besides its seats and areas.
    pub terms: OfferTerms,
    /// Seats in plan order.
    pub seats: Vec<OfferSeat>,
    /// General-admission areas.
    pub areas: Vec<OfferArea>,
    /// Price categories of seats, by first appearance in the plan.
    pub categories: Vec<Box<str>>,
    /// Where the seats stand; `None` when catalog did not tell.
    pub hall: Option<Hall>,
    seat_index: HashMap<SeatId, u32>,
}

/// A seat for sale.
#[derive(Debug, Clone)]
pub struct OfferSeat {
    /// Its id.
    pub id: SeatId,
    /// For people.
    pub label: Box<str>,
    /// Its place among the offer's categories.
    pub category: u16,
    /// Minor units.
    pub price_minor: i64,
    /// Not for sale, for now.
    pub closed: bool,
}

/// An area for sale.
#[derive(Debug, Clone)]
pub struct OfferArea {
    /// Its id.
    pub id: AreaId,
    /// For people.
    pub name: Box<str>,
    /// Places.
    pub capacity: u32,
    /// Minor units.
    pub price_minor: i64,
}

/// What an offer says besides its seats and areas.
#[derive(Debug)]
pub struct OfferTerms {
    /// The event.
    pub event_id: EventId,
    /// From 1; a newer one replaces an older one, never the reverse.
    pub version: i64,
    /// When the event starts.
    pub starts_at: DateTime<Utc>,
    /// First instant of sale.
    pub sale_starts_at: DateTime<Utc>,
    /// End of sale.
    pub sale_ends_at: DateTime<Utc>,
    /// Most live places per customer.
    pub per_customer_limit: u32,
    /// Currency of every price.
    pub currency: Currency,
    /// The plan whose order the seats follow.
    pub plan_id: SeatingPlanId,
    /// What comes back when a customer cancels.
    pub policy: Policy,
    /// Whether picking seats by hand must not leave a single seat alone.
    pub forbid_orphan_seats: bool,
}

impl Offer {
    /// An offer, indexed by seat.
    pub fn new(
        terms: OfferTerms,
        seats: Vec<OfferSeat>,
        areas: Vec<OfferArea>,
        categories: Vec<Box<str>>,
        hall: Option<Hall>,
    ) -> Self {
        let seat_index = seats.iter().zip(0..).map(|(seat, at)| (seat.id, at)).collect();
        Self { terms, seats, areas, categories, hall, seat_index }
    }

    /// A category's place among those of seats.
    pub fn category(&self, name: &str) -> Option<u16> {
        self.categories.iter().zip(0..).find(|(known, _)| known.as_ref() == name).map(|(_, at)| at)
    }

    /// A seat and its place in plan order.
    pub fn seat(&self, id: SeatId) -> Option<(usize, &OfferSeat)> {
        let at = *self.seat_index.get(&id)? as usize;
        Some((at, &self.seats[at]))
    }

    /// An area.
    pub fn area(&self, id: AreaId) -> Option<&OfferArea> {
        self.areas.iter().find(|area| area.id == id)
    }

    /// Seats plus places.
    pub fn total(&self) -> u32 {
        let places: u32 = self.areas.iter().map(|area| area.capacity).sum();
        u32::try_from(self.seats.len()).unwrap_or(u32::MAX).saturating_add(places)
    }

    /// A price in the offer's currency.
    pub fn money(&self, amount_minor: i64) -> Money {
        Money::new(amount_minor, self.terms.currency).unwrap_or(Money::zero(self.terms.currency))
    }
}
