//! Offers and bookings for tests of the rules.

use chrono::{DateTime, Duration, Utc};
use common::ids::{AreaId, BookingId, EventId, SeatId, SeatingPlanId};
use common::money::{Currency, Money};

use super::{Booking, BookingState, EventCheck, Item, Terms};
use crate::domain::offer::{Offer, OfferArea, OfferSeat, OfferTerms};
use crate::domain::policy::Policy;

/// Settings as in production.
pub(crate) const TERMS: Terms =
    Terms { hold: Duration::minutes(10), grace: Duration::minutes(2), test_tokens_only: true };

/// When every fixture begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-11-23T12:00:00Z".parse().expect("an instant")
}

/// Euro cents.
pub(crate) fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("EUR").expect("a currency")).expect("not negative")
}

/// An offer of seats at 25.00 EUR and one area at 10.00 EUR a place.
pub(crate) fn offer(seats: usize, capacity: u32) -> Offer {
    let terms = OfferTerms {
        event_id: EventId::new(),
        version: 1,
        starts_at: start() + Duration::days(30),
        sale_starts_at: start() - Duration::days(1),
        sale_ends_at: start() + Duration::days(30),
        per_customer_limit: 6,
        currency: Currency::parse("EUR").expect("a currency"),
        plan_id: SeatingPlanId::new(),
        policy: Policy::default(),
        forbid_orphan_seats: false,
    };
    let seat = |n| OfferSeat {
        id: SeatId::new(),
        label: format!("A-{n}").into(),
        category: 0,
        price_minor: 2500,
        closed: false,
    };
    let area = OfferArea { id: AreaId::new(), name: "Standing".into(), capacity, price_minor: 1000 };
    Offer::new(terms, (1..=seats).map(seat).collect(), vec![area], vec!["Stalls".into()], None)
}

/// An event that has not started and is not cancelled.
pub(crate) fn event() -> EventCheck {
    EventCheck { cancelled_at: None, starts_at: start() + Duration::days(30) }
}

/// A fresh hold of one seat and one area place, for this much in all.
pub(crate) fn held(total: Money) -> Booking {
    Booking {
        id: BookingId::new(),
        event_id: EventId::new(),
        customer_id: "alice".into(),
        state: BookingState::Held { expires_at: start() + TERMS.hold },
        items: vec![
            Item::new(Some(SeatId::new()), None, "A-1", total),
            Item::new(None, Some(AreaId::new()), "Standing", Money::zero(total.currency())),
        ],
        total,
        attempts: 0,
        decline_code: None,
        sequence: 1,
        fence: 1,
        created_at: start(),
    }
}
