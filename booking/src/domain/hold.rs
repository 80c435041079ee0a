//! What a customer asks to hold, checked and priced against the offer in memory. Whether it is free, only the database says.

use std::collections::BTreeMap;

use common::ids::{AreaId, BookingId, SeatId};
use common::money::Money;

use super::booking::Item;
use super::offer::Offer;

/// Most seats one hold may name.
pub const SEATS_MAX: usize = 100;
/// Most areas one hold may name.
pub const AREAS_MAX: usize = 20;
/// Most places of one area one hold may take.
pub const QUANTITY_MAX: u32 = 100;

/// What is wanted, as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Distinct seats.
    pub seats: Vec<SeatId>,
    /// Distinct areas with their places.
    pub areas: Vec<(AreaId, u32)>,
}

/// Why a wish makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// Nothing wanted.
    #[error("name at least one seat or area place")]
    Nothing,
    /// Too many at once.
    #[error("at most {SEATS_MAX} seats and {AREAS_MAX} areas at once")]
    TooMany,
    /// Named twice.
    #[error("{0} is named twice")]
    Twice(String),
    /// Quantity out of range.
    #[error("a quantity is 1 to {QUANTITY_MAX}, not {0}")]
    Quantity(u32),
    /// Not part of this event.
    #[error("{0} is not part of this event")]
    Unknown(String),
    /// Not for sale, for now.
    #[error("seat {0} is not for sale")]
    Closed(SeatId),
}

impl Wanted {
    /// Checks shape and bounds.
    pub fn new(seats: Vec<SeatId>, areas: Vec<(AreaId, u32)>) -> Result<Self, WishError> {
        if seats.is_empty() && areas.is_empty() {
            return Err(WishError::Nothing);
        }
        if seats.len() > SEATS_MAX || areas.len() > AREAS_MAX {
            return Err(WishError::TooMany);
        }
        let mut seen = std::collections::HashSet::new();
        let ids = seats.iter().map(|s| s.0).chain(areas.iter().map(|(a, _)| a.0));
        for id in ids {
            if !seen.insert(id) {
                return Err(WishError::Twice(id.to_string()));
            }
        }
        if let Some((_, quantity)) = areas.iter().find(|(_, q)| !(1..=QUANTITY_MAX).contains(q)) {
            return Err(WishError::Quantity(*quantity));
        }
        Ok(Self { seats, areas })
    }
}

/// A priced hold, ready for the store.
#[derive(Debug, Clone)]
pub struct Order {
    /// Id the booking will have.
    pub booking_id: BookingId,
    /// Subject of the customer's token.
    pub customer_id: String,
    /// Version the prices come from.
    pub offer_version: i64,
    /// One per seat and per area place, in the order asked for.
    pub items: Vec<Item>,
    /// Places per area, by id: the order in which counters are locked.
    pub areas: BTreeMap<AreaId, u32>,
    /// What all of it costs.
    pub total: Money,
}

impl Order {
    /// Prices a wish.
    pub fn price(customer_id: &str, wanted: &Wanted, offer: &Offer) -> Result<Self, WishError> {
        let mut items = Vec::new();
        for id in &wanted.seats {
            let (_, seat) = offer.seat(*id).ok_or_else(|| WishError::Unknown(format!("seat {id}")))?;
            if seat.closed {
                return Err(WishError::Closed(*id));
            }
            items.push(Item::new(Some(*id), None, &seat.label, offer.money(seat.price_minor)));
        }
        for (id, quantity) in &wanted.areas {
            let area = offer.area(*id).ok_or_else(|| WishError::Unknown(format!("area {id}")))?;
            for _ in 0..*quantity {
                items.push(Item::new(None, Some(*id), &area.name, offer.money(area.price_minor)));
            }
        }
        let total = items.iter().try_fold(Money::zero(offer.terms.currency), |sum, item| sum.checked_add(item.price));
        Ok(Self {
            booking_id: BookingId::new(),
            customer_id: customer_id.to_owned(),
            offer_version: offer.terms.version,
            items,
            areas: wanted.areas.iter().copied().collect(),
            total: total.map_err(|_| WishError::TooMany)?,
        })
    }

    /// The seats, in the order asked for.
    pub fn seats(&self) -> impl Iterator<Item = SeatId> {
        self.items.iter().filter_map(|item| item.seat_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::booking::fixtures::offer;

    #[test]
    fn a_wish_is_checked_before_anything_is_asked() {
        let seat = SeatId::new();
        let area = AreaId::new();

        assert_eq!(Wanted::new(vec![], vec![]), Err(WishError::Nothing));
        assert_eq!(Wanted::new(vec![seat, seat], vec![]), Err(WishError::Twice(seat.to_string())));
        assert_eq!(Wanted::new(vec![], vec![(area, 0)]), Err(WishError::Quantity(0)));
        assert_eq!(Wanted::new(vec![], vec![(area, 101)]), Err(WishError::Quantity(101)));
        assert_eq!(Wanted::new((0..101).map(|_| SeatId::new()).collect(), vec![]), Err(WishError::TooMany));
    }

    #[test]
    fn prices_come_from_the_offer() {
        let offer = offer(3, 100);
        let wanted = Wanted::new(vec![offer.seats[2].id, offer.seats[0].id], vec![(offer.areas[0].id, 2)]).unwrap();

        let order = Order::price("alice", &wanted, &offer).unwrap();

        assert_eq!(order.items.len(), 4);
        assert_eq!(order.items[0].seat_id, Some(offer.seats[2].id));
        assert_eq!(order.total.amount_minor(), 2 * 2500 + 2 * 1000);
    }

    #[test]
    fn seats_of_another_event_and_closed_seats_are_refused() {
        let mut closed = offer(1, 1);
        closed.seats[0].closed = true;
        let seat = closed.seats[0].id;
        let stranger = SeatId::new();

        let wish = |seat| Wanted::new(vec![seat], vec![]).unwrap();

        assert_eq!(Order::price("alice", &wish(seat), &closed).unwrap_err(), WishError::Closed(seat));
        assert_eq!(
            Order::price("alice", &wish(stranger), &closed).unwrap_err(),
            WishError::Unknown(format!("seat {stranger}"))
        );
    }
}
