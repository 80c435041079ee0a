//! Customers who go on booking while something breaks. Each of their calls is tried again with its key until it is answered.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use common::auth::Role;
use futures_util::future::join_all;
use serde_json::json;

use crate::client::Shop;
use crate::harness::eventually;
use crate::stage::{self, Event};

/// How many at once.
const CUSTOMERS: usize = 4;
/// What a customer waits before booking again: bounds the load, not the test.
const BREATH: Duration = Duration::from_millis(150);
/// Longest time until everything that was accepted has ended.
const END: Duration = Duration::from_secs(120);

/// A crowd and what it was promised.
#[derive(Default)]
pub struct Crowd {
    over: Cell<bool>,
    /// Customer and booking.
    accepted: RefCell<Vec<(String, String)>>,
}

/// What became of a crowd.
pub struct Outcome<T> {
    /// How many bookings were accepted; all of them are confirmed and captured.
    pub bookings: usize,
    /// How long that took from the end of the fault on.
    pub converged: Duration,
    /// What the fault brought back.
    pub fault: T,
}

impl Crowd {
    /// Lets customers book while `fault` happens, and waits until every booking is confirmed and its money captured.
    pub async fn during<T>(shop: &Shop, event: &Event, name: &str, fault: impl Future<Output = T>) -> Outcome<T> {
        let crowd = Self::default();
        let customers = join_all((0..CUSTOMERS).map(|n| crowd.book(shop, event, format!("{name}-{n}"))));
        let fault = async {
            let brought = fault.await;
            crowd.over.set(true);
            (brought, Instant::now())
        };
        let ((fault, ended), _) = tokio::join!(Box::pin(fault), Box::pin(customers));
        let accepted = crowd.accepted.into_inner();
        for (user, booking) in &accepted {
            until_captured(shop, user, booking).await;
        }
        Outcome { bookings: accepted.len(), converged: ended.elapsed(), fault }
    }

    async fn book(&self, shop: &Shop, event: &Event, name: String) {
        for n in 0.. {
            if self.over.get() {
                return;
            }
            // A customer for each booking: nobody may have all of them.
            let user = format!("{name}-{n}");
            let booking = stage::hold(shop, event, &user, &event.seat()).await;
            stage::pay(shop, &user, &booking, "tok_approve").await;
            self.accepted.borrow_mut().push((user, booking));
            tokio::time::sleep(BREATH).await;
        }
    }
}

async fn until_captured(shop: &Shop, user: &str, booking: &str) {
    let query = "query($id: ID!) { booking(id: $id) { state payment { state } } }";
    eventually(&format!("{user}'s booking {booking} confirmed and captured"), END, async || {
        let (_, answer) = shop.post(Some((user, Role::Customer)), query, json!({"id": booking})).await.ok()?;
        let found = &answer["data"]["booking"];
        (found["state"] == "CONFIRMED" && found["payment"]["state"] == "CAPTURED").then_some(())
    })
    .await;
}
