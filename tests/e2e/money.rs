//! Money that comes late, fails, or does not go back: what the customer sees, and that nothing is charged or sold twice.

use std::slice::from_ref;

use serde_json::Value;

use crate::client::{SAGA, Shop, assert_audit_clean};
use crate::harness::eventually;

/// A hold long enough to pay in on a busy machine, and with its grace over long before the provider answers.
pub const SHORT: [(&str, &str); 2] = [("EVENTIX_BOOKING__HOLD", "8s"), ("EVENTIX_BOOKING__GRACE", "1s")];
/// When the provider answers: there is time for another customer between.
pub const LATE: &str = "tok_approve_after_30";
/// Refusals come fast, so that a refund is stuck within seconds.
const EAGER: [(&str, &str); 1] = [("EVENTIX_PAYMENT__RETRY_LONGEST", "400ms")];

#[tokio::test]
async fn an_approval_after_the_grace_confirms_while_the_seats_are_free() {
    let (product, shop, event) = Shop::open(&SHORT).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();
    let id = paying(&shop, "alice", &event, &seats, LATE).await;

    until_free(&shop, &event, &seats).await;
    assert_eq!(payment(&shop, "alice", &id).await, "UNKNOWN");
    let confirmed = shop.until("alice", &id, "CONFIRMED").await;

    assert_eq!(confirmed["tickets"].as_array().unwrap().len(), 2);
    shop.until_payment("alice", &id, "CAPTURED").await;
    assert_audit_clean(&product);
}

#[tokio::test]
async fn an_approval_after_a_seat_went_to_another_is_voided() {
    let (product, shop, event) = Shop::open(&SHORT).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();
    let id = paying(&shop, "alice", &event, &seats, LATE).await;

    until_free(&shop, &event, &seats).await;
    let bobs = paying(&shop, "bob", &event, &seats[1..], "tok_approve").await;
    shop.until("bob", &bobs, "CONFIRMED").await;
    let expired = shop.until("alice", &id, "EXPIRED").await;

    assert_eq!(expired["tickets"].as_array().unwrap().len(), 0);
    shop.until_payment("alice", &id, "VOIDED").await;
    shop.until_payment("bob", &bobs, "CAPTURED").await;
    let untouched = shop.booking("bob", &bobs).await;
    assert_eq!(untouched["state"], "CONFIRMED");
    assert_eq!(untouched["tickets"].as_array().unwrap().len(), 1);
    assert_eq!(status(&shop, &event, &seats[0]).await, "FREE");
    assert_eq!(status(&shop, &event, &seats[1]).await, "SOLD");
    assert_audit_clean(&product);
}

#[tokio::test]
async fn a_capture_that_fails_cancels_the_booking_and_its_tickets() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();
    let id = paying(&shop, "alice", &event, &seats, "tok_capture_fails").await;

    let cancelled = shop.until("alice", &id, "CANCELLED").await;

    let tickets = cancelled["tickets"].as_array().unwrap();
    assert_eq!(tickets.len(), 2);
    assert!(tickets.iter().all(|ticket| ticket["void"] == true), "{tickets:?}");
    assert_eq!(cancelled["payment"]["state"], "CLOSED");
    assert_eq!(cancelled["payment"]["declineCode"], "CAPTURE_REFUSED");
    let bobs = paying(&shop, "bob", &event, &seats, "tok_approve").await;
    shop.until("bob", &bobs, "CONFIRMED").await;
    assert_audit_clean(&product);
}

#[tokio::test]
async fn refunds_that_fail_at_first_go_back_in_the_end() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await;
    let tokens = ["tok_refund_fails_2", "tok_refund_pending_then_failed"];
    let mut ids = Vec::new();
    for (token, seat) in tokens.iter().zip(&seats) {
        let id = paying(&shop, token, &event, from_ref(seat), token).await;
        cancelled(&shop, token, &id).await;
        ids.push(id);
    }

    for ((token, id), seat) in tokens.iter().zip(&ids).zip(&seats) {
        shop.until_payment(token, id, "REFUNDED").await;
        assert_eq!(shop.booking(token, id).await["state"], "CANCELLED");
        assert_eq!(status(&shop, &event, seat).await, "FREE");
    }
    assert_audit_clean(&product);
}

#[tokio::test]
async fn a_refund_that_never_goes_through_is_stuck_and_its_seat_sells_again() {
    let (product, shop, event) = Shop::open(&EAGER).await;
    let seats = shop.free_seats(&event).await[..1].to_vec();
    let id = paying(&shop, "alice", &event, &seats, "tok_refund_fails_50").await;
    cancelled(&shop, "alice", &id).await;

    shop.until_payment("alice", &id, "STUCK").await;

    assert_eq!(shop.booking("alice", &id).await["state"], "CANCELLED");
    let (_, metrics) = product.get("/metrics").await;
    let alarm = |line: &str| line.starts_with("eventix_payment_alarms") && line.contains("\"stuck\"");
    assert!(metrics.lines().any(alarm), "{metrics}");
    assert!(metrics.contains("eventix_payments_unknown_oldest_seconds{"), "{metrics}");
    let bobs = paying(&shop, "bob", &event, &seats, "tok_approve").await;
    shop.until("bob", &bobs, "CONFIRMED").await;
    assert_audit_clean(&product);
}

/// Holds seats and starts paying for them.
async fn paying(shop: &Shop, user: &str, event: &str, seats: &[String], token: &str) -> String {
    let id = shop.hold(user, event, seats, "hold").await.unwrap().id();
    let paying = shop.pay(user, &id, token, "pay").await.unwrap();
    assert_eq!(paying.id(), id);
    id
}

/// Waits until a booking's money was captured, and cancels it.
async fn cancelled(shop: &Shop, user: &str, id: &str) {
    shop.until(user, id, "CONFIRMED").await;
    shop.until_payment(user, id, "CAPTURED").await;
    let cancelled = shop.cancel(user, id, "cancel").await.unwrap();
    assert_eq!(cancelled.booking["state"], "CANCELLED", "{cancelled:?}");
}

async fn payment(shop: &Shop, user: &str, id: &str) -> Value {
    shop.booking(user, id).await["payment"]["state"].take()
}

async fn status(shop: &Shop, event: &str, seat: &str) -> String {
    let seats = shop.seats(event).await;
    seats.into_iter().find(|found| found.id == seat).expect("a seat of the plan").status
}

/// Waits until the grace has given seats back.
async fn until_free(shop: &Shop, event: &str, seats: &[String]) {
    eventually("the end of the grace", SAGA, async || {
        let free = shop.free_seats(event).await;
        seats.iter().all(|seat| free.contains(seat)).then_some(())
    })
    .await;
}
