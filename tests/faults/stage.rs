//! Something to sell: a hall of seats and standing places, on sale as often as a test needs it.

use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use common::auth::Role;
use serde_json::{Value, json};

use crate::client::Shop;

const ROWS: usize = 150;
const SEATS: usize = 40;
const CATEGORY: &str = "Stalls";
const AREA: &str = "Floor";
const PLACES: u32 = 5_000;
const PRICE_MINOR: u32 = 2_500;
/// Time for a call that is cut and tried again, while a process of the mesh is started anew.
const INSIST: Duration = Duration::from_secs(90);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(50);
const ORGANISER: Option<(&str, Role)> = Some(("organiser", Role::Admin));

/// A venue with its plan.
#[derive(Debug, Clone)]
pub struct Hall {
    venue: String,
    plan: String,
    area: String,
}

/// An event on sale, whose seats are given out one by one.
pub struct Event {
    /// Its id.
    pub id: String,
    seats: Mutex<Vec<String>>,
}

impl Event {
    /// A seat that no other caller of this gets.
    pub fn seat(&self) -> String {
        self.seats.lock().unwrap().pop().expect("more seats than a test needs")
    }
}

/// Calls again until there is an answer: what every client does whose call was cut.
pub async fn insist<T>(what: &str, mut call: impl AsyncFnMut() -> anyhow::Result<T>) -> T {
    let until = tokio::time::Instant::now() + INSIST;
    loop {
        let error = match call().await {
            Ok(answer) => return answer,
            Err(error) => error,
        };
        assert!(tokio::time::Instant::now() < until, "{what} was not answered within {INSIST:?}: {error:#}");
        tokio::time::sleep(RETRY).await;
    }
}

impl Hall {
    /// Builds one.
    pub async fn build(shop: &Shop) -> Self {
        let name = format!("Hall {}", uuid::Uuid::now_v7());
        let venue = json!({"name": name, "city": "Bonn", "country": "DE", "timeZone": "Europe/Berlin"});
        let venue = organise(shop, "createVenue", "venue { id }", venue).await["venue"]["id"].take();
        let areas = json!([{"name": AREA, "capacity": PLACES}]);
        let import = json!({"venueId": venue, "plan": plan(), "areas": areas});
        let imported = organise(shop, "importSeatingPlan", "seatingPlan { id areas { id } }", import).await;
        let plan = &imported["seatingPlan"];
        Self { venue: text(&venue), plan: text(&plan["id"]), area: text(&plan["areas"][0]["id"]) }
    }

    /// Its standing places, 5,000 of them.
    pub fn area(&self) -> &str {
        &self.area
    }

    /// An event that can be booked.
    pub async fn event(&self, shop: &Shop) -> Event {
        let id = self.draft(shop).await;
        self.publish(shop, &id).await;
        let map = "query($id: ID!) { event(id: $id) { seatMap { zones { rows { seats { id } } } } } }";
        let data = shop.data(None, map, json!({"id": id})).await;
        let zones = data["event"]["seatMap"]["zones"].as_array().unwrap();
        let rows = zones.iter().flat_map(|zone| zone["rows"].as_array().unwrap());
        let seats = rows.flat_map(|row| row["seats"].as_array().unwrap()).map(|seat| text(&seat["id"])).collect();
        Event { id, seats: Mutex::new(seats) }
    }

    /// A draft of an event.
    pub async fn draft(&self, shop: &Shop) -> String {
        let starts_at = chrono::Utc::now() + chrono::Duration::days(30);
        let draft = json!({
            "venueId": self.venue, "seatingPlanId": self.plan, "title": "Fault", "startsAt": starts_at.to_rfc3339(),
            "currency": "EUR", "perCustomerLimit": 20, "prices": self.prices(PRICE_MINOR),
        });
        text(&organise(shop, "createEvent", "event { id }", draft).await["event"]["id"])
    }

    /// Puts a draft on sale; again when that was cut.
    pub async fn publish(&self, shop: &Shop, event: &str) {
        organise(shop, "publishEvent", "event { id }", json!({"eventId": event})).await;
    }

    /// Sets other prices.
    pub async fn reprice(&self, shop: &Shop, event: &str) {
        let input = json!({"eventId": event, "prices": self.prices(PRICE_MINOR + 100)});
        organise(shop, "setPrices", "event { id }", input).await;
    }

    fn prices(&self, amount_minor: u32) -> Value {
        json!([{"category": CATEGORY, "amountMinor": amount_minor}, {"areaId": self.area, "amountMinor": amount_minor}])
    }
}

/// Calls an event off; again when that was cut.
pub async fn call_off(shop: &Shop, event: &str) {
    let query = "mutation($input: CancelEventInput!) { cancelEvent(input: $input) { userErrors { code } } }";
    insist("cancelEvent", async || {
        let (status, answer) = shop.post(ORGANISER, query, json!({"input": {"eventId": event}})).await?;
        // The first call may have been cut after it was done.
        let refusal = &answer["data"]["cancelEvent"]["userErrors"][0]["code"];
        anyhow::ensure!(status.is_success() && answer.get("errors").is_none(), "{status}: {answer}");
        anyhow::ensure!(refusal.is_null() || refusal == "INVALID_STATE", "{answer}");
        Ok(())
    })
    .await;
}

/// A mutation of the organiser's.
async fn organise(shop: &Shop, name: &str, fields: &str, input: Value) -> Value {
    mutate(shop, ORGANISER, name, fields, input).await
}

/// A mutation whose input type is named after it, insisted on until it is done.
async fn mutate(shop: &Shop, user: Option<(&str, Role)>, name: &str, fields: &str, input: Value) -> Value {
    let type_name = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
    let query = format!(
        "mutation($input: {type_name}!) {{ {name}(input: $input) {{ {fields} userErrors {{ field code message }} }} }}"
    );
    insist(name, async || {
        let (status, mut answer) = shop.post(user, &query, json!({"input": input})).await?;
        anyhow::ensure!(status.is_success() && answer.get("errors").is_none(), "{status}: {answer}");
        let payload = answer["data"][name].take();
        anyhow::ensure!(payload["userErrors"].as_array().is_some_and(Vec::is_empty), "{name}: {payload}");
        Ok(payload)
    })
    .await
}

/// Holds one seat, insisting with one key.
pub async fn hold(shop: &Shop, event: &Event, user: &str, seat: &str) -> String {
    order(shop, user, "holdSeats", json!({"eventId": event.id, "seatIds": [seat], "areas": []})).await
}

/// Pays, insisting with one key.
pub async fn pay(shop: &Shop, user: &str, booking: &str, token: &str) {
    order(shop, user, "payBooking", json!({"bookingId": booking, "paymentToken": token})).await;
}

/// Releases, insisting with one key.
pub async fn release(shop: &Shop, user: &str, booking: &str) {
    order(shop, user, "releaseBooking", json!({"bookingId": booking})).await;
}

/// Cancels, insisting with one key.
pub async fn cancel(shop: &Shop, user: &str, booking: &str) {
    order(shop, user, "cancelBooking", json!({"bookingId": booking})).await;
}

/// Holds the best seat, insisting with one key.
pub async fn hold_best(shop: &Shop, event: &Event, user: &str) -> String {
    order(shop, user, "holdBestAvailable", json!({"eventId": event.id, "quantity": 1})).await
}

/// Gives a part of a booking's money back, as the organiser, insisting with one key.
pub async fn give_back(shop: &Shop, booking: &str, amount_minor: u32) {
    let input = json!({
        "bookingId": booking, "amountMinor": amount_minor, "reason": "goodwill", "idempotencyKey": format!("give-{booking}"),
    });
    organise(shop, "refundBooking", "booking { id }", input).await;
}

/// Has the stuck refund of a booking tried again, insisting with one key.
pub async fn retry_refund(shop: &Shop, booking: &str) {
    let query = "{ stuckPayments(first: 100) { edges { node { bookingId refundId } } } }";
    let refund = insist("stuckPayments", async || {
        let (_, answer) = shop.post(ORGANISER, query, json!({})).await?;
        let edges = answer["data"]["stuckPayments"]["edges"].as_array().context("no list")?;
        let stuck = edges.iter().map(|edge| &edge["node"]).find(|node| node["bookingId"] == booking);
        Ok(text(&stuck.context("the refund is not listed")?["refundId"]))
    })
    .await;
    let input = json!({"refundId": refund, "bookingId": booking, "idempotencyKey": format!("retry-{refund}")});
    organise(shop, "retryRefund", "payment { state }", input).await;
}

/// A customer's mutation, insisted on with one key; returns the booking's id, which needs no service but booking.
async fn order(shop: &Shop, user: &str, name: &str, mut input: Value) -> String {
    input["idempotencyKey"] = json!(name);
    let booking = mutate(shop, Some((user, Role::Customer)), name, "booking { id }", input).await;
    text(&booking["booking"]["id"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn plan() -> Value {
    let seat = |row: usize, n: usize| {
        json!({
            "seat_guid": format!("{row}-{n}"), "seat_number": n.to_string(), "category": CATEGORY,
            "position": {"x": 22 * n, "y": 0},
        })
    };
    let row = |row: usize| {
        json!({
            "row_number": row.to_string(), "row_label": format!("Row {row}"), "seat_label": "Seat %s",
            "row_number_position": "both", "position": {"x": 0, "y": 26 * row},
            "seats": (1..=SEATS).map(|n| seat(row, n)).collect::<Vec<_>>(),
        })
    };
    json!({
        "name": "Hall", "categories": [{"name": CATEGORY, "color": "#3a6ea5"}],
        "zones": [{
            "name": "Stalls", "zone_id": "stalls", "position": {"x": 0, "y": 60},
            "rows": (1..=ROWS).map(row).collect::<Vec<_>>(), "areas": [],
        }],
        "size": {"width": 1_000, "height": 500},
    })
}
