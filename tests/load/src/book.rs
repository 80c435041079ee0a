//! What a user does, step by step, and pairs of seats for all of them: each pair is handed out once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::auth::Role;
use serde_json::json;

use crate::shop::Shop;
use crate::stage::{self, PLACES_PER_CUSTOMER, Pair};

const LIST: &str = "{ events(first: 20) { edges { node { id title startsAt venue { name city } priceRange { min { amountMinor } } \
                    availability { free total } } } } }";
const DETAIL: &str = "query($id: ID!) { event(id: $id) { id title description startsAt timeZone venue { name address city } \
                      priceRange { min { amountMinor currency } max { amountMinor } } availability { free held sold total } } }";
const STATE: &str = "query($id: ID!) { booking(id: $id) { state } }";

/// How often a booking is looked at by who waits for it.
const LOOK: Duration = Duration::from_millis(20);

/// A hold that was made, and for whom.
pub struct Held {
    /// The booking.
    pub id: String,
    /// The customer's token.
    pub token: Arc<str>,
}

/// Seats to sell and customers to sell them to.
pub struct Sale {
    pairs: Vec<Pair>,
    customers: Vec<Arc<str>>,
    next: AtomicUsize,
}

impl Sale {
    /// A sale of so many pairs of seats.
    pub async fn open(shop: &Shop, pairs: usize) -> anyhow::Result<Self> {
        let pairs = stage::pairs(shop, pairs).await?;
        let customers = pairs.len().div_ceil(PLACES_PER_CUSTOMER / 2);
        let run = pairs.first().map(|pair| pair.event.clone()).context("nothing is on sale")?;
        let token = |n| shop.token(&format!("load-{run}-{n}"), Role::Customer);
        let customers = (0..customers).map(token).collect::<anyhow::Result<_>>()?;
        Ok(Self { pairs, customers, next: AtomicUsize::new(0) })
    }

    /// Holds the next pair. The key is the seat's, so that every hold is a request of its own.
    pub async fn hold(&self, shop: &Shop) -> anyhow::Result<Held> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let pair = self.pairs.get(n).context("everything is sold: measure for a shorter time")?;
        // Neighbours in the list are of different customers: nobody waits for somebody's own earlier hold.
        let token = self.customers[n % self.customers.len()].clone();
        let input =
            json!({"eventId": &*pair.event, "seatIds": pair.seats, "areas": [], "idempotencyKey": pair.seats[0]});
        let payload = shop.mutate(&token, "holdSeats", "booking { id }", input).await?;
        Ok(Held { id: stage::id(&payload["booking"])?, token })
    }

    /// The event on sale.
    pub fn event(&self) -> &str {
        &self.pairs[0].event
    }
}

/// Starts to pay.
pub async fn pay(shop: &Shop, held: &Held) -> anyhow::Result<()> {
    let input = json!({"bookingId": held.id, "paymentToken": "tok_approve", "idempotencyKey": held.id});
    shop.mutate(&held.token, "payBooking", "booking { id }", input).await.map(drop)
}

/// Lets a hold go.
pub async fn release(shop: &Shop, held: &Held) -> anyhow::Result<()> {
    let input = json!({"bookingId": held.id, "idempotencyKey": held.id});
    shop.mutate(&held.token, "releaseBooking", "booking { id }", input).await.map(drop)
}

/// Waits until a booking is CONFIRMED. It is looked at every 20 ms, later less often: a crowd that waits must not be what
/// is measured. What is seen may be late by that, or by a twentieth.
pub async fn confirmed(shop: &Shop, held: &Held, patience: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let data = shop.ask(Some(&held.token), STATE, json!({"id": held.id})).await?;
        match data["booking"]["state"].as_str().context("a booking that was made is there")? {
            "CONFIRMED" => return Ok(()),
            state => ensure!(began.elapsed() < patience, "still {state} after {patience:?}"),
        }
        tokio::time::sleep(LOOK.max(began.elapsed() / 20)).await;
    }
}

/// Looks at the list of events.
pub async fn list(shop: &Shop) -> anyhow::Result<()> {
    shop.ask(None, LIST, json!({})).await.map(drop)
}

/// Looks at one event.
pub async fn detail(shop: &Shop, event: &str) -> anyhow::Result<()> {
    shop.ask(None, DETAIL, json!({"id": event})).await.map(drop)
}
