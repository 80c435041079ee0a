//! Queries: one select, one read model, no domain.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::db::placeholders;
use common::ids::{AreaId, BookingId, EventId, SeatId};
use sea_orm::{DbErr, QueryResult, Value};

use super::Store;
use super::rows::{self, COLUMNS, Stored};
use crate::domain::offer::Offer;

/// Places of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Availability {
    /// Held or being paid.
    pub held: u32,
    /// Sold.
    pub sold: u32,
    /// Seats plus area places.
    pub total: u32,
}

/// State of every seat and area of one event.
pub struct SeatStates {
    /// The offer whose order `seats` follows.
    pub offer: Arc<Offer>,
    /// 0 free, 1 held, 2 sold, in plan order.
    pub seats: Vec<u8>,
    /// Free places per area.
    pub areas: BTreeMap<AreaId, u32>,
}

/// Which bookings to list, newest first.
pub struct Listing<'a> {
    /// Only this customer's.
    pub customer: Option<&'a str>,
    /// Only this event's.
    pub event: Option<EventId>,
    /// Only in this state, as reads show it.
    pub state: Option<&'a str>,
    /// Only older than this one.
    pub before: Option<BookingId>,
    /// How many.
    pub limit: u32,
}

impl Store {
    /// One booking, as reads show it.
    pub async fn find(&self, id: BookingId) -> Result<Option<Stored>, DbErr> {
        self.stored(self.db.reader(), id).await
    }

    /// Bookings, newest first.
    pub async fn list(&self, listing: &Listing<'_>) -> Result<Vec<Stored>, DbErr> {
        let mut filters = vec!["1 = 1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        let mut bind = |value: Value| {
            values.push(value);
            format!("${}", values.len())
        };
        if let Some(customer) = listing.customer {
            filters.push(format!("customer_id = {}", bind(customer.into())));
        }
        if let Some(event) = listing.event {
            filters.push(format!("event_id = {}", bind(event.into())));
        }
        if let Some(before) = listing.before {
            filters.push(format!("id < {}", bind(before.into())));
        }
        let now = self.db.now_sql();
        match listing.state {
            Some("HELD") => filters.push(format!("state = 'HELD' AND expires_at > {now}")),
            Some("EXPIRED") => {
                filters.push(format!("(state = 'EXPIRED' OR (state = 'HELD' AND expires_at <= {now}))"));
            }
            Some(state) => filters.push(format!("state = {}", bind(state.into()))),
            None => {}
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM bookings WHERE {} ORDER BY id DESC LIMIT {}",
            filters.join(" AND "),
            listing.limit
        );
        let found = self.db.query(self.db.reader(), sql, values).await?;
        let bookings = rows::with_items(&self.db, self.db.reader(), &found).await?;
        self.with_details(self.db.reader(), bookings).await
    }

    /// Places of events that have an offer here.
    pub async fn availabilities(&self, events: &[EventId]) -> Result<HashMap<EventId, Availability>, DbErr> {
        let mut found: HashMap<EventId, Availability> = self
            .known_events(events)
            .await?
            .into_iter()
            .filter(|(_, known)| known.offer_version > 0)
            .map(|(event, known)| (event, Availability { total: known.places, ..Availability::default() }))
            .collect();
        if found.is_empty() {
            return Ok(found);
        }
        for (table, places) in [("seat_claims", "count(*)"), ("area_claims", "sum(quantity)")] {
            let sql = format!(
                "SELECT event_id, state, CAST({places} AS bigint) AS places FROM {table}
                 WHERE event_id IN ({}) AND (expires_at IS NULL OR expires_at > {}) GROUP BY event_id, state",
                placeholders(found.len(), 1),
                self.db.now_sql()
            );
            let ids: Vec<Value> = found.keys().map(|id| (*id).into()).collect();
            for row in self.db.query(self.db.reader(), sql, ids).await? {
                let (event, state, places) = claimed(&row)?;
                let Some(availability) = found.get_mut(&event) else { continue };
                if state == "sold" {
                    availability.sold += places;
                } else {
                    availability.held += places;
                }
            }
        }
        Ok(found)
    }

    /// The state of every seat and area; `None` without an offer.
    pub async fn seat_states(&self, event: EventId) -> Result<Option<SeatStates>, DbErr> {
        let Some(known) = self.known_event(event).await? else { return Ok(None) };
        let Some(offer) = self.offer(event, known.offer_version).await? else { return Ok(None) };
        let mut seats = vec![0; offer.seats.len()];
        let live = format!("event_id = $1 AND (expires_at IS NULL OR expires_at > {})", self.db.now_sql());
        let sql = format!("SELECT seat_id, state FROM seat_claims WHERE {live}");
        for row in self.db.query(self.db.reader(), sql, [event.into()]).await? {
            let (seat, state): (SeatId, String) = (row.try_get("", "seat_id")?, row.try_get("", "state")?);
            if let Some((at, _)) = offer.seat(seat) {
                seats[at] = if state == "sold" { 2 } else { 1 };
            }
        }
        let mut areas: BTreeMap<AreaId, u32> = offer.areas.iter().map(|a| (a.id, a.capacity)).collect();
        let sql = format!(
            "SELECT area_id, CAST(sum(quantity) AS bigint) AS places FROM area_claims WHERE {live} GROUP BY area_id"
        );
        for row in self.db.query(self.db.reader(), sql, [event.into()]).await? {
            let (area, places): (AreaId, i64) = (row.try_get("", "area_id")?, row.try_get("", "places")?);
            if let Some(free) = areas.get_mut(&area) {
                *free = free.saturating_sub(u32::try_from(places).unwrap_or(u32::MAX));
            }
        }
        Ok(Some(SeatStates { offer, seats, areas }))
    }
}

fn claimed(row: &QueryResult) -> Result<(EventId, String, u32), DbErr> {
    let places: i64 = row.try_get("", "places")?;
    Ok((row.try_get("", "event_id")?, row.try_get("", "state")?, u32::try_from(places).unwrap_or(0)))
}
