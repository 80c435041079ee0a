//! Events on sale, as catalog would offer them.

use chrono::{DateTime, Duration, Utc};
use common::clock::to_wire;
use common::ids::{AreaId, EventId, SeatId, SeatingPlanId};
use common::proto::catalog::v1::{
    CancellationBracket, CancellationPolicy, OfferArea, OfferRow, OfferSeat, OfferTerms, StreamOfferResponse,
};

use booking::application::ports::FetchedOffer;
use booking::domain::hold::{Order, Wanted};
use booking::infrastructure::wire;

/// Price of every seat, euro cents.
pub const SEAT_PRICE: i64 = 2500;
/// Price of every area place.
pub const PLACE_PRICE: i64 = 1000;

/// A policy of one bracket and a fee, euro cents.
pub fn policy(hours_before: u32, percent: u32, fee_minor: i64) -> Option<CancellationPolicy> {
    Some(CancellationPolicy { brackets: vec![CancellationBracket { hours_before, percent }], fee_minor })
}

/// One event's offer, to be changed field by field before it is put on sale.
#[derive(Clone)]
pub struct Sale {
    pub event: EventId,
    pub plan: SeatingPlanId,
    pub seats: Vec<SeatId>,
    /// Seats per row, all in one zone; none, as catalog told before it told of rows.
    pub rows: Vec<u32>,
    /// Seats per category, in plan order.
    pub categories: Vec<(&'static str, usize)>,
    pub accessible: Vec<SeatId>,
    pub forbid_orphan_seats: bool,
    pub areas: Vec<(AreaId, u32)>,
    pub version: u64,
    pub limit: u32,
    pub seat_price: i64,
    pub policy: Option<CancellationPolicy>,
    pub closed: Vec<SeatId>,
    pub starts_at: DateTime<Utc>,
    pub sale_starts_at: DateTime<Utc>,
    pub sale_ends_at: DateTime<Utc>,
    pub cancelled: bool,
}

impl Sale {
    /// An event in a month, on sale since an hour, of seats and areas of these capacities.
    pub fn new(now: DateTime<Utc>, seats: usize, capacities: &[u32]) -> Self {
        Self {
            event: EventId::new(),
            plan: SeatingPlanId::new(),
            seats: (0..seats).map(|_| SeatId::new()).collect(),
            rows: vec![u32::try_from(seats).expect("not that many")],
            categories: vec![("stalls", seats)],
            accessible: Vec::new(),
            forbid_orphan_seats: false,
            areas: capacities.iter().map(|capacity| (AreaId::new(), *capacity)).collect(),
            version: 1,
            limit: 1000,
            seat_price: SEAT_PRICE,
            policy: None,
            closed: Vec::new(),
            starts_at: now + Duration::days(30),
            sale_starts_at: now - Duration::hours(1),
            sale_ends_at: now + Duration::days(30),
            cancelled: false,
        }
    }

    /// The same in rows of these numbers of seats.
    pub fn in_rows(self, rows: &[u32]) -> Self {
        Self { rows: rows.to_vec(), ..self }
    }

    /// As catalog's stream brings it.
    pub fn fetched(&self) -> FetchedOffer {
        wire::fetched(self.message()).expect("a sound offer")
    }

    /// What catalog streams, in one message.
    pub fn message(&self) -> StreamOfferResponse {
        let places =
            self.rows.iter().zip(0_u8..).flat_map(|(seats, y)| (0..*seats).map(move |x| (x as f32, f32::from(y))));
        let categories = self.categories.iter().flat_map(|(name, seats)| std::iter::repeat_n(*name, *seats));
        let seat = |((id, (x, y)), category): ((&SeatId, (f32, f32)), &str)| OfferSeat {
            seat_id: id.to_string(),
            label: format!("seat {}", &id.to_string()[30..]),
            category: category.into(),
            price_minor: self.seat_price,
            closed: self.closed.contains(id),
            x,
            y,
            accessible: self.accessible.contains(id),
            companion: false,
        };
        let area = |(id, capacity): &(AreaId, u32)| OfferArea {
            area_id: id.to_string(),
            name: "Standing".into(),
            capacity: *capacity,
            price_minor: PLACE_PRICE,
        };
        StreamOfferResponse {
            terms: Some(OfferTerms {
                event_id: self.event.to_string(),
                version: self.version,
                title: "Some evening".into(),
                starts_at: Some(to_wire(self.starts_at)),
                sale_starts_at: Some(to_wire(self.sale_starts_at)),
                sale_ends_at: Some(to_wire(self.sale_ends_at)),
                per_customer_limit: self.limit,
                currency: "EUR".into(),
                cancellation_policy: self.policy.clone(),
                areas: self.areas.iter().map(area).collect(),
                seating_plan_id: self.plan.to_string(),
                cancelled: self.cancelled,
                on_sale_when_published: false,
                forbid_orphan_seats: self.forbid_orphan_seats,
            }),
            seats: self
                .seats
                .iter()
                .zip(places.chain(std::iter::repeat((0.0, 0.0))))
                .zip(categories)
                .map(seat)
                .collect(),
            rows: self.rows.iter().map(|seats| OfferRow { zone_index: 0, seat_count: *seats }).collect(),
        }
    }

    /// A wish for seats by their place in the plan, and for places of the areas in order.
    pub fn wish(&self, seats: &[usize], places: &[u32]) -> Wanted {
        let seats = seats.iter().map(|at| self.seats[*at]).collect();
        let areas = self.areas.iter().zip(places).filter(|(_, n)| **n > 0).map(|((id, _), n)| (*id, *n)).collect();
        Wanted::new(seats, areas).expect("a sound wish")
    }

    /// The same wish, priced.
    pub fn order(&self, customer: &str, seats: &[usize], places: &[u32]) -> Order {
        Order::price(customer, &self.wish(seats, places), &self.fetched().offer).expect("a wish of this event")
    }
}
