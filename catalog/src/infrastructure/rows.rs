//! Rows to domain. A row that breaks an invariant is an error that names it.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::ids::EventId;
use common::money::Currency;
use sea_orm::{DbErr, QueryResult};
use serde::de::DeserializeOwned;

use crate::domain::event::{Details, Event, Publication, State};
use crate::domain::prices::PriceRange;
use crate::domain::venue::Venue;

/// Columns of a venue, from `venues v`.
pub const VENUE: &str = "v.id AS venue_id, v.name AS venue_name, v.address AS venue_address, v.city AS venue_city, \
    v.country AS venue_country, v.time_zone AS venue_time_zone, v.latitude AS venue_latitude, v.longitude AS venue_longitude";

/// Columns of an event, from [`EVENT_TABLES`]; with those of [`VENUE`].
pub const EVENT: &str = "e.id, e.plan_id, e.title, e.description, e.category, e.performers, e.image_url, e.starts_at, \
    e.ends_at, e.doors_at, e.sale_starts_at, e.sale_ends_at, e.per_customer_limit, e.currency, e.policy, e.prices, \
    e.price_min, e.price_max, e.forbid_orphan_seats, e.status, e.version, e.published_at, e.offer_version, e.facts, \
    p.seat_count, p.place_count";

/// Where an event is read from.
pub const EVENT_TABLES: &str = "events e JOIN venues v ON v.id = e.venue_id JOIN seating_plans p ON p.id = e.plan_id";

/// An event with what its readers see of its venue and plan.
pub struct EventRow {
    /// The event.
    pub event: Event,
    /// Its venue.
    pub venue: Venue,
    /// Seats plus places.
    pub capacity: i64,
}

/// Reads the columns of [`VENUE`].
pub fn venue(row: &QueryResult) -> Result<Venue, DbErr> {
    Ok(Venue {
        id: row.try_get("", "venue_id")?,
        name: row.try_get("", "venue_name")?,
        address: row.try_get("", "venue_address")?,
        city: row.try_get("", "venue_city")?,
        country: row.try_get("", "venue_country")?,
        time_zone: row.try_get("", "venue_time_zone")?,
        latitude: row.try_get("", "venue_latitude")?,
        longitude: row.try_get("", "venue_longitude")?,
    })
}

/// Reads the columns of [`EVENT`] and [`VENUE`].
pub fn event(row: &QueryResult) -> Result<EventRow, DbErr> {
    let id: EventId = row.try_get("", "id")?;
    let venue = venue(row)?;
    let range = Option::zip(row.try_get("", "price_min")?, row.try_get("", "price_max")?);
    let event = Event {
        id,
        venue_id: venue.id,
        plan_id: row.try_get("", "plan_id")?,
        details: details(row, id)?,
        prices: json(row, "prices", id)?,
        price_range: range.map(|(min, max)| PriceRange { min, max }),
        state: state(row, id)?,
        version: row.try_get("", "version")?,
    };
    let seats: i32 = row.try_get("", "seat_count")?;
    let places: i64 = row.try_get("", "place_count")?;
    Ok(EventRow { event, venue, capacity: i64::from(seats) + places })
}

fn details(row: &QueryResult, id: EventId) -> Result<Details, DbErr> {
    let limit: i32 = row.try_get("", "per_customer_limit")?;
    let currency: String = row.try_get("", "currency")?;
    Ok(Details {
        title: row.try_get("", "title")?,
        description: row.try_get("", "description")?,
        category: row.try_get("", "category")?,
        performers: json(row, "performers", id)?,
        image_url: row.try_get("", "image_url")?,
        starts_at: instant(row, "starts_at")?,
        ends_at: instant(row, "ends_at")?,
        doors_at: maybe_instant(row, "doors_at")?,
        sale_starts_at: maybe_instant(row, "sale_starts_at")?,
        sale_ends_at: maybe_instant(row, "sale_ends_at")?,
        per_customer_limit: limit.cast_unsigned(),
        currency: Currency::parse(&currency).map_err(|e| corrupt("events", "currency", id, &e))?,
        policy: json(row, "policy", id)?,
        forbid_orphan_seats: row.try_get("", "forbid_orphan_seats")?,
    })
}

fn state(row: &QueryResult, id: EventId) -> Result<State, DbErr> {
    let (offer_version, facts) = (row.try_get("", "offer_version")?, row.try_get("", "facts")?);
    let publication = maybe_instant(row, "published_at")?.map(|at| Publication { at, offer_version, facts });
    let status: String = row.try_get("", "status")?;
    match (status.as_str(), publication) {
        ("draft", None) => Ok(State::Draft),
        ("published", Some(publication)) => Ok(State::Published(publication)),
        ("cancelled", publication) => Ok(State::Cancelled(publication)),
        (other, _) => Err(corrupt("events", "status", id, &other)),
    }
}

fn instant(row: &QueryResult, column: &str) -> Result<DateTime<Utc>, DbErr> {
    Ok(from_micros(row.try_get("", column)?))
}

fn maybe_instant(row: &QueryResult, column: &str) -> Result<Option<DateTime<Utc>>, DbErr> {
    Ok(row.try_get::<Option<i64>>("", column)?.map(from_micros))
}

fn json<T: DeserializeOwned>(row: &QueryResult, column: &str, id: EventId) -> Result<T, DbErr> {
    let text: String = row.try_get("", column)?;
    serde_json::from_str(&text).map_err(|e| corrupt("events", column, id, &e))
}

/// An error for a row that breaks an invariant.
pub fn corrupt(table: &str, column: &str, id: impl Display, why: &dyn Display) -> DbErr {
    DbErr::Custom(format!("{table}.{column} of {id} is corrupt: {why}"))
}
