//! kill -9 of the whole product with bookings in flight: every cut call is retried with its key and gives the same booking,
//! every booking ends, and the audit finds nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::client::{Shop, assert_audit_clean};

/// Bookings in flight in each round.
const IN_FLIGHT: usize = 100;
/// Times the product is killed.
const ROUNDS: usize = 3;
/// Pause before a cut call is tried again.
const RETRY: Duration = Duration::from_millis(50);
/// Slow outcomes keep bookings in PAYING while the product dies.
const SLOW_TOKENS: [&str; 2] = ["tok_slow", "tok_timeout_then_approved"];

/// One customer of one round.
#[derive(Clone)]
struct Customer {
    shop: Shop,
    event: String,
    name: String,
    seat: String,
    cut: Arc<AtomicUsize>,
}

impl Customer {
    /// Holds, again and again with the same key until there is an answer; returns the booking's id.
    async fn hold(&self) -> String {
        loop {
            match self.shop.hold(&self.name, &self.event, std::slice::from_ref(&self.seat), "hold").await {
                Ok(answer) => return answer.id(),
                Err(_) => {
                    self.cut.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn pay(&self, booking: &str, token: &str) {
        loop {
            match self.shop.pay(&self.name, booking, token, "pay").await {
                Ok(answer) => return assert_eq!(answer.id(), booking),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_three_times_with_a_hundred_bookings_in_flight() {
    let (mut product, shop, event) = Shop::open(&[]).await;

    for round in 0..ROUNDS {
        let seats = shop.free_seats(&event).await;
        let cut = Arc::new(AtomicUsize::new(0));
        let customers: Vec<Customer> = (0..IN_FLIGHT)
            .map(|n| Customer {
                shop: shop.clone(),
                event: event.clone(),
                name: format!("round-{round}-customer-{n}"),
                seat: seats[n].clone(),
                cut: cut.clone(),
            })
            .collect();
        let (paying, holding) = customers.split_at(IN_FLIGHT / 2);

        // Half of them are paying, all at once, with providers that take their time.
        let mut bookings = Vec::new();
        for customer in paying {
            bookings.push((customer.clone(), customer.hold().await));
        }
        let payments = bookings.iter().zip(SLOW_TOKENS.iter().cycle());
        join_all(payments.map(|((customer, id), token)| customer.pay(id, token))).await;
        let in_paying = count_paying(&bookings).await;
        // The other half ask for their holds while the product dies.
        let answered = Arc::new(AtomicUsize::new(0));
        let holds: Vec<_> = holding
            .iter()
            .cloned()
            .map(|customer| {
                let answered = answered.clone();
                tokio::spawn(async move {
                    let id = customer.hold().await;
                    answered.fetch_add(1, Ordering::SeqCst);
                    (customer, id)
                })
            })
            .collect();
        while answered.load(Ordering::SeqCst) < 5 * (round + 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        product.kill9();
        let unanswered = holding.len() - answered.load(Ordering::SeqCst);
        product.restart();
        shop.moved(&product);

        for hold in holds {
            let (customer, id) = hold.await.unwrap();
            customer.pay(&id, "tok_approve").await;
            bookings.push((customer, id));
        }
        println!(
            "round {round}: {unanswered} holds unanswered, {in_paying} PAYING, {} calls cut",
            cut.load(Ordering::SeqCst)
        );
        assert!(unanswered >= 10 && in_paying >= 10, "too little was in flight: {unanswered}, {in_paying}");
        for (customer, id) in &bookings {
            assert_eq!(customer.hold().await, *id, "the same key gives the same booking");
            shop.until(&customer.name, id, "CONFIRMED").await;
            assert_eq!(booking_count(&shop, &customer.name).await, 1);
        }
        assert_audit_clean(&product);
    }
}

async fn count_paying(bookings: &[(Customer, String)]) -> usize {
    let looks = bookings.iter().map(|(customer, id)| customer.shop.booking(&customer.name, id));
    join_all(looks).await.iter().filter(|booking| booking["state"] == "PAYING").count()
}

async fn booking_count(shop: &Shop, user: &str) -> usize {
    let query = "{ myBookings(first: 10) { edges { node { id } } } }";
    let data = shop.data(Some((user, common::auth::Role::Customer)), query, json!({})).await;
    data["myBookings"]["edges"].as_array().unwrap().len()
}

#[tokio::test]
async fn data_survives_a_clean_restart() {
    let (mut product, shop, event) = Shop::open(&[]).await;
    let seat = shop.free_seats(&event).await[..1].to_vec();
    let id = shop.hold("alice", &event, &seat, "hold").await.unwrap().id();

    product.restart();
    shop.moved(&product);
    shop.pay("alice", &id, "tok_approve", "pay").await.unwrap().id();

    let confirmed = shop.until("alice", &id, "CONFIRMED").await;
    assert_eq!(confirmed["tickets"].as_array().unwrap().len(), 1);
    assert_audit_clean(&product);
}

#[tokio::test]
async fn a_wiped_broker_heals_by_itself() {
    let (mut product, shop, event) =
        Shop::open(&[("EVENTIX_BOOKING__WAITING", "3s"), ("EVENTIX_PAYMENT__WAITING", "3s")]).await;
    let free = shop.free_seats(&event).await;
    let before = shop.hold("alice", &event, &free[..1], "hold").await.unwrap().id();
    shop.pay("alice", &before, "tok_approve", "pay").await.unwrap().id();
    shop.until("alice", &before, "CONFIRMED").await;
    let during = shop.hold("bob", &event, &free[1..2], "hold").await.unwrap().id();
    shop.pay("bob", &during, "tok_slow", "pay").await.unwrap().id();

    product.kill9();
    for file in ["broker.db", "broker.db-wal", "broker.db-shm"] {
        let _ = std::fs::remove_file(product.data.join(file));
    }
    assert!(!product.data.join("broker.db").exists());
    product.restart();
    shop.moved(&product);

    shop.until("bob", &during, "CONFIRMED").await;
    let after = shop.hold("carol", &event, &free[2..3], "hold").await.unwrap().id();
    shop.pay("carol", &after, "tok_approve", "pay").await.unwrap().id();
    shop.until("carol", &after, "CONFIRMED").await;
    assert_audit_clean(&product);
}
