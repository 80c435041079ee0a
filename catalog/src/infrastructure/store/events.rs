//! Writes of events, offers and facts.

use common::db::{Db, placeholders};
use common::fact::NewFact;
use common::proto::catalog::v1 as proto;
use prost::Message;
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde::Serialize;

use super::super::{text_search, wire};
use crate::domain::event::{Decision, Event, State, Told};
use crate::domain::offer::Offer;
use crate::domain::venue::Venue;

/// Columns that may change, in the order of [`changing_values`].
const CHANGING: [&str; 25] = [
    "version",
    "title",
    "description",
    "category",
    "category_key",
    "performers",
    "image_url",
    "starts_at",
    "ends_at",
    "doors_at",
    "sale_starts_at",
    "sale_ends_at",
    "per_customer_limit",
    "currency",
    "policy",
    "prices",
    "price_min",
    "price_max",
    "status",
    "published_at",
    "offer_version",
    "facts",
    "updated_at",
    "plan_id",
    "forbid_orphan_seats",
];

/// Inserts an event and its words.
pub async fn add(db: &Db, txn: &impl ConnectionTrait, event: &Event, venue: &Venue) -> Result<(), DbErr> {
    let now = db.now(txn).await?.timestamp_micros();
    let mut values = changing_values(event, now);
    let columns = CHANGING.join(", ");
    let n = values.len() + 1;
    let sql = format!("INSERT INTO events ({columns}, id, venue_id, created_at) VALUES ({})", placeholders(n + 2, 1));
    values.extend([event.id.into(), event.venue_id.into(), now.into()]);
    db.execute(txn, sql, values).await?;
    add_words(db, txn, event, venue).await
}

/// Replaces an event and its words; `false` when its stored version is not the one before.
pub async fn replace(db: &Db, txn: &impl ConnectionTrait, event: &Event, venue: &Venue) -> Result<bool, DbErr> {
    let now = db.now(txn).await?.timestamp_micros();
    let mut values = changing_values(event, now);
    let changes: Vec<String> = CHANGING.iter().zip(1..).map(|(column, n)| format!("{column} = ${n}")).collect();
    let n = values.len() + 1;
    let sql = format!("UPDATE events SET {} WHERE id = ${n} AND version = ${}", changes.join(", "), n + 1);
    values.extend([event.id.into(), (event.version - 1).into()]);
    if db.execute(txn, sql, values).await? == 0 {
        return Ok(false);
    }
    let sql = "DELETE FROM event_words WHERE rowid = (SELECT number FROM events WHERE id = $1)";
    db.execute(txn, sql, [event.id.into()]).await?;
    add_words(db, txn, event, venue).await?;
    Ok(true)
}

async fn add_words(db: &Db, txn: &impl ConnectionTrait, event: &Event, venue: &Venue) -> Result<(), DbErr> {
    let words = text_search::stored_words(db, "$1");
    let sql = format!("INSERT INTO event_words (rowid, words) SELECT number, {words} FROM events WHERE id = $2");
    db.execute(txn, sql, [text_search::words_of(&event.details, venue).into(), event.id.into()]).await?;
    Ok(())
}

fn changing_values(event: &Event, now: i64) -> Vec<Value> {
    let details = &event.details;
    let (status, publication) = match event.state {
        State::Draft => ("draft", None),
        State::Published(publication) => ("published", Some(publication)),
        State::Cancelled(publication) => ("cancelled", publication),
    };
    vec![
        event.version.into(),
        details.title.clone().into(),
        details.description.clone().into(),
        details.category.clone().into(),
        details.category.to_lowercase().into(),
        json(&details.performers).into(),
        details.image_url.clone().into(),
        details.starts_at.timestamp_micros().into(),
        details.ends_at.timestamp_micros().into(),
        details.doors_at.map(|at| at.timestamp_micros()).into(),
        details.sale_starts_at.map(|at| at.timestamp_micros()).into(),
        details.sale_ends_at.map(|at| at.timestamp_micros()).into(),
        details.per_customer_limit.cast_signed().into(),
        details.currency.code().into(),
        json(&details.policy).into(),
        json(&event.prices).into(),
        event.price_range.map(|range| range.min).into(),
        event.price_range.map(|range| range.max).into(),
        status.into(),
        publication.map(|p| p.at.timestamp_micros()).into(),
        event.offer_version().into(),
        publication.map_or(0, |p| p.facts).into(),
        now.into(),
        event.plan_id.into(),
        details.forbid_orphan_seats.into(),
    ]
}

/// Freezes an offer.
pub async fn add_offer(db: &Db, txn: &impl ConnectionTrait, offer: &Offer, now: i64) -> Result<(), DbErr> {
    let sql =
        "INSERT INTO offers (event_id, version, plan_id, terms, prices, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = [
        offer.event_id.into(),
        offer.version.into(),
        offer.plan_id.into(),
        wire::terms(offer).encode_to_vec().into(),
        json(&offer.prices).into(),
        now.into(),
    ];
    db.execute(txn, sql, values).await?;
    Ok(())
}

/// The fact a decision tells, under the sequence number that its event now carries.
pub fn fact(decision: &Decision) -> Option<NewFact> {
    let event = &decision.next;
    let sequence = match event.state {
        State::Published(publication) | State::Cancelled(Some(publication)) => publication.facts,
        State::Draft | State::Cancelled(None) => return None,
    };
    let (event_id, offer_version) = (event.id.to_string(), event.offer_version().cast_unsigned());
    let fact = match decision.fact? {
        Told::Published => NewFact::of(event.id.0, sequence, &proto::EventPublished { event_id, offer_version }),
        Told::Changed => NewFact::of(event.id.0, sequence, &proto::EventChanged { event_id, offer_version }),
        Told::Cancelled => NewFact::of(event.id.0, sequence, &proto::EventCancelled { event_id, offer_version }),
    };
    Some(fact)
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings, numbers and ids serialise")
}
