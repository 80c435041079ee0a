//! Events to sell: a hall of many seats, on sale as often as a measurement needs it, and its seats in pairs.

use std::sync::Arc;

use anyhow::Context;
use common::auth::Role;
use common::ids::EventId;
use serde_json::{Value, json};

use crate::shop::Shop;

const ZONES: usize = 20;
const ROWS: usize = 30;
const SEATS: usize = 40;
const CATEGORY: &str = "Stalls";
/// Places that one customer may have in one event: the most there is.
pub const PLACES_PER_CUSTOMER: usize = 100;

/// Two free neighbours.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Whose seats they are.
    pub event: Arc<str>,
    /// Seat ids.
    pub seats: [String; 2],
}

/// Puts events on sale until there are at least so many pairs of seats, and returns all of them.
pub async fn pairs(shop: &Shop, at_least: usize) -> anyhow::Result<Vec<Pair>> {
    let admin = shop.token("load-organiser", Role::Admin)?;
    let name = format!("Load hall {}", EventId::new());
    let venue = json!({"name": name, "city": "Bonn", "country": "DE", "timeZone": "Europe/Berlin"});
    let venue = id(&shop.mutate(&admin, "createVenue", "venue { id }", venue).await?["venue"])?;
    let plan = json!({"venueId": venue, "plan": plan()});
    let plan = id(&shop.mutate(&admin, "importSeatingPlan", "seatingPlan { id }", plan).await?["seatingPlan"])?;

    let mut pairs = Vec::new();
    while pairs.len() < at_least {
        let event = event(shop, &admin, &venue, &plan).await?;
        pairs.extend(seats_of(shop, &event).await?);
        eprintln!("eventix-load: {} pairs of seats on sale", pairs.len());
    }
    Ok(pairs)
}

async fn event(shop: &Shop, admin: &str, venue: &str, plan: &str) -> anyhow::Result<Arc<str>> {
    let starts_at = chrono::Utc::now() + chrono::Duration::days(30);
    let draft = json!({
        "venueId": venue, "seatingPlanId": plan, "title": "Load", "startsAt": starts_at.to_rfc3339(), "currency": "EUR",
        "perCustomerLimit": PLACES_PER_CUSTOMER, "prices": [{"category": CATEGORY, "amountMinor": 2500}],
    });
    let event = id(&shop.mutate(admin, "createEvent", "event { id }", draft).await?["event"])?;
    shop.mutate(admin, "publishEvent", "event { id }", json!({"eventId": event})).await?;
    Ok(event.into())
}

async fn seats_of(shop: &Shop, event: &Arc<str>) -> anyhow::Result<Vec<Pair>> {
    let map = "query($id: ID!) { event(id: $id) { seatMap { zones { rows { seats { id } } } } } }";
    let data = shop.ask(None, map, json!({"id": event})).await?;
    let mut pairs = Vec::new();
    for zone in list(&data["event"]["seatMap"]["zones"])? {
        for row in list(&zone["rows"])? {
            for pair in list(&row["seats"])?.chunks_exact(2) {
                pairs.push(Pair { event: event.clone(), seats: [id(&pair[0])?, id(&pair[1])?] });
            }
        }
    }
    Ok(pairs)
}

fn list(value: &Value) -> anyhow::Result<&Vec<Value>> {
    value.as_array().context("a seat map without zones, rows or seats")
}

/// The id of an object in an answer.
pub fn id(object: &Value) -> anyhow::Result<String> {
    Ok(object["id"].as_str().context("an object without an id")?.to_owned())
}

fn plan() -> Value {
    let seat = |zone: usize, row: usize, n: usize| {
        json!({
            "seat_guid": format!("{zone}-{row}-{n}"), "seat_number": n.to_string(), "category": CATEGORY,
            "position": {"x": 22 * n, "y": 0},
        })
    };
    let row = |zone: usize, row: usize| {
        let seats: Vec<Value> = (1..=SEATS).map(|n| seat(zone, row, n)).collect();
        json!({
            "row_number": row.to_string(), "row_label": format!("Row {row}"), "seat_label": "Seat %s",
            "row_number_position": "both", "position": {"x": 0, "y": 26 * row}, "seats": seats,
        })
    };
    let zone = |zone: usize| {
        let rows: Vec<Value> = (1..=ROWS).map(|n| row(zone, n)).collect();
        json!({
            "name": format!("Block {zone}"), "zone_id": format!("block-{zone}"), "position": {"x": 1000 * zone, "y": 60},
            "rows": rows, "areas": [],
        })
    };
    json!({
        "name": "Load hall", "categories": [{"name": CATEGORY, "color": "#3a6ea5"}],
        "zones": (1..=ZONES).map(zone).collect::<Vec<_>>(), "size": {"width": 21_000, "height": 1_000},
    })
}
