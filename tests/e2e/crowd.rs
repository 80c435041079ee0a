//! Many customers at once on few seats: no seat twice, every loser a typed refusal.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;

use crate::client::{Shop, assert_audit_clean};
use crate::harness::Product;

const CUSTOMERS: usize = 200;
const SEATS: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_customers_on_fifty_seats() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats: Arc<Vec<String>> = Arc::new(shop.free_seats(&event).await[..SEATS].to_vec());
    let barrier = Arc::new(Barrier::new(CUSTOMERS));

    let customers = (0..CUSTOMERS).map(|n| {
        let (shop, event, seats, barrier) = (shop.clone(), event.clone(), seats.clone(), barrier.clone());
        tokio::spawn(async move {
            // Overlapping pairs and fours, wrapping round.
            let size = if n % 2 == 0 { 2 } else { 4 };
            let wish: Vec<String> = (0..size).map(|i| seats[(n * 3 + i) % SEATS].clone()).collect();
            let user = format!("customer-{n}");
            barrier.wait().await;
            let answer = shop.hold(&user, &event, &wish, "hold").await.expect("no transport error, no 5xx");
            (user, wish, answer)
        })
    });
    let mut sold = HashSet::new();
    let mut winners = Vec::new();
    let mut losers = 0;
    for customer in customers.collect::<Vec<_>>() {
        let (user, wish, answer) = customer.await.unwrap();
        if answer.errors.is_empty() {
            assert!(wish.iter().all(|seat| sold.insert(seat.clone())), "a seat was held twice: {wish:?}");
            winners.push((user, answer.id()));
            continue;
        }
        assert_eq!(answer.code(), "SEATS_TAKEN");
        let named: Vec<String> = serde_json::from_value(answer.errors[0]["seatIds"].clone()).unwrap();
        assert!(!named.is_empty() && named.iter().all(|seat| wish.contains(seat)), "{named:?} of {wish:?}");
        losers += 1;
    }
    for (user, id) in &winners {
        shop.pay(user, id, "tok_approve", "pay").await.unwrap().id();
    }
    for (user, id) in &winners {
        shop.until(user, id, "CONFIRMED").await;
    }

    println!("{} held, {losers} typed refusals, {} of {SEATS} seats sold", winners.len(), sold.len());
    assert!(winners.len() >= SEATS / 4 && losers > 0);
    assert_audit_clean(&product);
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_holds_of_one_customer_never_exceed_the_limit() {
    let (product, shop, event) = Shop::open(&[]).await;
    let limit = shop.data(None, "query($id: ID!) { event(id: $id) { perCustomerLimit } }", json!({"id": event})).await;
    let limit = usize::try_from(limit["event"]["perCustomerLimit"].as_u64().unwrap()).unwrap();
    let seats = shop.free_seats(&event).await;

    let calls = (0..20).map(|n| {
        let (shop, event, seat) = (shop.clone(), event.clone(), seats[n].clone());
        tokio::spawn(async move { shop.hold("greedy", &event, &[seat], &format!("hold-{n}")).await.unwrap() })
    });
    let mut held = 0;
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap();
        if answer.errors.is_empty() {
            held += 1;
        } else {
            assert_eq!(answer.code(), "LIMIT_EXCEEDED");
        }
    }

    assert_eq!(held, limit.min(20));
    assert_audit_clean(&product);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_area_never_sells_more_places_than_it_has() {
    let product = Product::start(&[]);
    let shop = Shop::of(&product);
    let (event, area, capacity) = shop.smallest_area().await;

    // Twice as many places are wanted as there are.
    let calls = (0..2 * capacity / 4).map(|n| {
        let (shop, event, area) = (shop.clone(), event.clone(), area.clone());
        tokio::spawn(async move { shop.hold_places(&format!("guest-{n}"), &event, &area, 4, "hold").await.unwrap() })
    });
    let mut held = 0;
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.unwrap();
        if answer.errors.is_empty() {
            held += 4;
        } else {
            assert_eq!(answer.code(), "SOLD_OUT");
        }
    }

    assert_eq!(held, capacity / 4 * 4, "every place that fits is held, none twice");
    assert_audit_clean(&product);
}
