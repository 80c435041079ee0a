//! How an event sells, counted from the claims and from what bookings were sold for. One statement, so that places and money
//! are those of one instant.

use std::ops::AddAssign;

use common::ids::{AreaId, EventId, SeatId};
use sea_orm::{DbErr, QueryResult};

use super::Store;
use crate::domain::offer::Offer;

/// Per place what there is of it. Money is counted of sales that stand or whose money was taken: one whose capture failed was
/// none.
const COUNTED: &str = "
    SELECT state AS what, seat_id, CAST(NULL AS uuid) AS area_id, CAST(1 AS bigint) AS n FROM seat_claims
        WHERE event_id = $1 AND (expires_at IS NULL OR expires_at > {now})
    UNION ALL
    SELECT state, CAST(NULL AS uuid), area_id, CAST(sum(quantity) AS bigint) FROM area_claims
        WHERE event_id = $1 AND (expires_at IS NULL OR expires_at > {now}) GROUP BY state, area_id
    UNION ALL
    SELECT 'gross', i.seat_id, i.area_id, CAST(sum(i.price_minor) AS bigint)
        FROM booking_items i JOIN bookings b ON b.id = i.booking_id
        WHERE b.event_id = $1 AND (b.captured OR b.state = 'CONFIRMED') GROUP BY i.seat_id, i.area_id
    UNION ALL
    SELECT 'refunded', i.seat_id, i.area_id, CAST(sum(i.refunded_minor) AS bigint)
        FROM booking_items i JOIN bookings b ON b.id = i.booking_id
        WHERE b.event_id = $1 AND (b.captured OR b.state = 'CONFIRMED') GROUP BY i.seat_id, i.area_id
    UNION ALL
    SELECT r.state, CAST(NULL AS uuid), CAST(NULL AS uuid), CAST(sum(r.amount_minor) AS bigint)
        FROM booking_refunds r JOIN bookings b ON b.id = r.booking_id
        WHERE b.event_id = $1 AND r.state IN ('requested', 'stuck') AND (b.captured OR b.state = 'CONFIRMED') GROUP BY r.state";

/// How an event sells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SalesReport {
    /// ISO 4217 code.
    pub currency: String,
    /// Categories by first appearance in the plan, with their names.
    pub categories: Vec<(Box<str>, Sales)>,
    /// Areas in plan order, with their names.
    pub areas: Vec<(AreaId, Box<str>, Sales)>,
    /// Of what is refunded: asked for, minor units.
    pub refund_pending_minor: i64,
    /// Of what is refunded: waiting for a person, minor units.
    pub refund_stuck_minor: i64,
}

/// Places and money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sales {
    /// Sold now.
    pub sold: u32,
    /// Held or being paid now.
    pub held: u32,
    /// Seats or places.
    pub total: u32,
    /// Of everything sold, also of what was given back since, minor units.
    pub gross_minor: i64,
    /// Of that, what went back or is on its way, minor units.
    pub refunded_minor: i64,
}

impl Sales {
    /// Neither held nor sold.
    pub fn free(&self) -> u32 {
        self.total.saturating_sub(self.held + self.sold)
    }
}

impl AddAssign<&Self> for Sales {
    fn add_assign(&mut self, other: &Self) {
        self.sold += other.sold;
        self.held += other.held;
        self.total += other.total;
        self.gross_minor += other.gross_minor;
        self.refunded_minor += other.refunded_minor;
    }
}

impl SalesReport {
    /// Nothing sold of an offer.
    fn unsold(offer: &Offer) -> Self {
        let mut categories: Vec<_> = offer.categories.iter().map(|name| (name.clone(), Sales::default())).collect();
        for seat in &offer.seats {
            categories[usize::from(seat.category)].1.total += 1;
        }
        let area = |capacity| Sales { total: capacity, ..Sales::default() };
        let areas = offer.areas.iter().map(|known| (known.id, known.name.clone(), area(known.capacity))).collect();
        let currency = offer.terms.currency.code().to_owned();
        Self { currency, categories, areas, ..Self::default() }
    }

    /// All lines together.
    pub fn total(&self) -> Sales {
        let mut total = Sales::default();
        let lines = self.categories.iter().map(|(_, sales)| sales).chain(self.areas.iter().map(|(_, _, sales)| sales));
        lines.for_each(|sales| total += sales);
        total
    }

    /// The line of a seat or an area; none of what the offer has not.
    fn line(&mut self, offer: &Offer, seat: Option<SeatId>, area: Option<AreaId>) -> Option<&mut Sales> {
        if let Some(seat) = seat {
            let (_, seat) = offer.seat(seat)?;
            return Some(&mut self.categories[usize::from(seat.category)].1);
        }
        self.areas.iter_mut().find(|(id, ..)| Some(*id) == area).map(|(_, _, sales)| sales)
    }

    fn count(&mut self, offer: &Offer, row: &QueryResult) -> Result<(), DbErr> {
        let (what, n): (String, i64) = (row.try_get("", "what")?, row.try_get("", "n")?);
        let places = u32::try_from(n).unwrap_or_default();
        match what.as_str() {
            "requested" => self.refund_pending_minor += n,
            "stuck" => self.refund_stuck_minor += n,
            _ => {
                let Some(line) = self.line(offer, row.try_get("", "seat_id")?, row.try_get("", "area_id")?) else {
                    return Ok(());
                };
                match what.as_str() {
                    "sold" => line.sold += places,
                    "held" => line.held += places,
                    "gross" => line.gross_minor += n,
                    _ => line.refunded_minor += n,
                }
            }
        }
        Ok(())
    }
}

impl Store {
    /// How an event sells; `None` without an offer.
    pub async fn sales_report(&self, event: EventId) -> Result<Option<SalesReport>, DbErr> {
        let Some(known) = self.known_event(event).await? else { return Ok(None) };
        let Some(offer) = self.offer(event, known.offer_version).await? else { return Ok(None) };
        let mut report = SalesReport::unsold(&offer);
        let sql = COUNTED.replace("{now}", &self.db.now_sql());
        for row in self.db.query(self.db.reader(), sql, [event.into()]).await? {
            report.count(&offer, &row)?;
        }
        Ok(Some(report))
    }
}
