//! One customer after another: the stories the README tells.

use common::auth::Role;
use serde_json::json;

use crate::client::{Shop, assert_audit_clean};

#[tokio::test]
async fn an_approved_payment_confirms_with_a_ticket_per_seat() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();

    let held = shop.hold("alice", &event, &seats, "hold-1").await.unwrap();
    assert_eq!(held.booking["state"], "HELD");
    let id = held.id();
    let paying = shop.pay("alice", &id, "tok_approve", "pay-1").await.unwrap();
    assert_eq!(paying.booking["state"], "PAYING");
    let confirmed = shop.until("alice", &id, "CONFIRMED").await;

    assert_eq!(confirmed["tickets"].as_array().unwrap().len(), 2);
    let statuses = shop.seats(&event).await;
    let sold = statuses.iter().filter(|seat| seats.contains(&seat.id) && seat.status == "SOLD").count();
    assert_eq!(sold, 2);
    shop.until_payment("alice", &id, "CAPTURED").await;
    assert_audit_clean(&product);
}

#[tokio::test]
async fn a_decline_leads_back_to_the_hold_and_a_second_attempt_succeeds() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..1].to_vec();
    let id = shop.hold("alice", &event, &seats, "hold").await.unwrap().id();

    shop.pay("alice", &id, "tok_decline", "pay-1").await.unwrap().id();
    let declined = shop.until("alice", &id, "HELD").await;
    assert_eq!(declined["payment"]["declineCode"], "CARD_DECLINED");
    shop.pay("alice", &id, "tok_approve", "pay-2").await.unwrap().id();
    shop.until("alice", &id, "CONFIRMED").await;

    assert_audit_clean(&product);
}

#[tokio::test]
async fn every_test_token_does_what_the_readme_says() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await;
    let cases = [
        ("tok_approve", "CONFIRMED"),
        ("tok_decline", "HELD"),
        ("tok_insufficient_funds", "HELD"),
        ("tok_slow", "CONFIRMED"),
        ("tok_timeout_then_approved", "CONFIRMED"),
        ("tok_timeout_then_declined", "HELD"),
    ];

    let mut ids = Vec::new();
    for ((token, state), seat) in cases.iter().zip(&seats) {
        let id = shop.hold(token, &event, std::slice::from_ref(seat), "hold").await.unwrap().id();
        shop.pay(token, &id, token, "pay").await.unwrap().id();
        ids.push((token, state, id));
    }
    for (token, state, id) in ids {
        let ended = shop.until(token, &id, state).await;
        if *state == "HELD" {
            assert!(ended["payment"]["declineCode"].is_string(), "{token}: {ended}");
        }
    }
    let held = shop.hold("unknown-token", &event, &seats[10..11], "hold").await.unwrap().id();
    let refused = shop.pay("unknown-token", &held, "tok_made_up", "pay").await.unwrap();

    assert_eq!(refused.code(), "INVALID_INPUT");
    assert_audit_clean(&product);
}

#[tokio::test]
async fn the_second_customer_is_told_which_seats_are_taken() {
    let (_product, shop, event) = Shop::open(&[]).await;
    let free = shop.free_seats(&event).await;
    shop.hold("alice", &event, &free[..2], "hold").await.unwrap().id();

    let refused = shop.hold("bob", &event, &free[1..4], "hold").await.unwrap();

    assert_eq!(refused.code(), "SEATS_TAKEN");
    assert_eq!(refused.errors[0]["seatIds"], json!([free[1]]));
    assert!(refused.errors[0]["message"].as_str().unwrap().contains(&free[1]));
}

#[tokio::test]
async fn a_lapsed_hold_reads_expired_and_its_seats_sell_again() {
    let (product, shop, event) = Shop::open(&[("EVENTIX_BOOKING__HOLD", "2s")]).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();
    let id = shop.hold("alice", &event, &seats, "hold").await.unwrap().id();

    shop.until("alice", &id, "EXPIRED").await;
    let late = shop.pay("alice", &id, "tok_approve", "pay").await.unwrap();
    let again = shop.hold("bob", &event, &seats, "hold").await.unwrap();

    assert!(["HOLD_EXPIRED", "INVALID_STATE"].contains(&late.code()), "{late:?}");
    assert_eq!(again.booking["state"], "HELD");
    assert_audit_clean(&product);
}

#[tokio::test]
async fn cancelling_refunds_in_full_and_frees_the_seats() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();
    let id = shop.hold("alice", &event, &seats, "hold").await.unwrap().id();
    shop.pay("alice", &id, "tok_approve", "pay").await.unwrap().id();
    shop.until("alice", &id, "CONFIRMED").await;

    let cancelled = shop.cancel("alice", &id, "cancel").await.unwrap();
    assert_eq!(cancelled.booking["state"], "CANCELLED");
    shop.until_payment("alice", &id, "REFUNDED").await;
    let again = shop.hold("bob", &event, &seats, "hold").await.unwrap();

    assert_eq!(again.booking["state"], "HELD");
    assert_audit_clean(&product);
}

#[tokio::test]
async fn cancelling_an_event_ends_its_bookings_and_refunds_them() {
    let (product, shop, event) = Shop::open(&[]).await;
    let free = shop.free_seats(&event).await;
    let sold = shop.hold("alice", &event, &free[..1], "hold").await.unwrap().id();
    shop.pay("alice", &sold, "tok_approve", "pay").await.unwrap().id();
    shop.until("alice", &sold, "CONFIRMED").await;
    let held = shop.hold("bob", &event, &free[1..2], "hold").await.unwrap().id();

    let query =
        "mutation($input: CancelEventInput!) { cancelEvent(input: $input) { event { status } userErrors { code } } }";
    let data = shop.data(Some(("admin", Role::Admin)), query, json!({"input": {"eventId": event}})).await;
    assert_eq!(data["cancelEvent"]["event"]["status"], "CANCELLED", "{data}");
    assert_eq!(shop.hold("carol", &event, &free[2..3], "hold").await.unwrap().code(), "NOT_ON_SALE");

    shop.until("alice", &sold, "CANCELLED").await;
    shop.until("bob", &held, "CANCELLED").await;
    shop.until_payment("alice", &sold, "REFUNDED").await;
    assert_audit_clean(&product);
}

#[tokio::test]
async fn an_idempotency_key_has_one_effect_and_one_answer() {
    let (_product, shop, event) = Shop::open(&[]).await;
    let free = shop.free_seats(&event).await;

    let calls = (0..20).map(|_| {
        let (shop, event, seat) = (shop.clone(), event.clone(), free[0].clone());
        tokio::spawn(async move {
            let mut booking = shop.hold("alice", &event, &[seat], "same").await.unwrap().booking;
            // Payment's own view, read live from payment.
            booking.as_object_mut().unwrap().remove("payment");
            booking
        })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    let other = shop.hold("alice", &event, &free[1..2], "same").await.unwrap();
    let bobs = shop.hold("bob", &event, &free[1..2], "same").await.unwrap();

    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(other.code(), "IDEMPOTENCY_CONFLICT");
    assert_eq!(bobs.booking["state"], "HELD");
}

#[tokio::test]
async fn a_booking_is_its_customers_alone() {
    let (_product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..1].to_vec();
    let id = shop.hold("alice", &event, &seats, "hold").await.unwrap().id();

    assert!(shop.booking("mallory", &id).await.is_null());
    assert!(shop.booking("alice", "no-such-id").await.is_null());
    for id in [id.as_str(), "no-such-id", "01890000-0000-7000-8000-000000000000"] {
        assert_eq!(shop.pay("mallory", id, "tok_approve", id).await.unwrap().code(), "NOT_FOUND");
        assert_eq!(shop.release("mallory", id, id).await.unwrap().code(), "NOT_FOUND");
        assert_eq!(shop.cancel("mallory", id, id).await.unwrap().code(), "NOT_FOUND");
    }
    assert_eq!(shop.release("alice", &id, "release").await.unwrap().booking["state"], "RELEASED");
}

#[tokio::test]
async fn a_ticket_admits_once_and_is_then_neither_scanned_again_nor_cancelled() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..2].to_vec();
    let id = shop.hold("alice", &event, &seats, "hold").await.unwrap().id();
    shop.pay("alice", &id, "tok_approve", "pay").await.unwrap().id();
    let confirmed = shop.until("alice", &id, "CONFIRMED").await;
    let token = confirmed["tickets"][0]["token"].as_str().unwrap();

    let (ticket, none) = shop.check_in(token, "North").await;
    let (refused, errors) = shop.check_in(token, "South").await;
    let (forged, unknown) = shop.check_in(&token[..token.len() - 4], "North").await;
    let cancelled = shop.cancel("alice", &id, "cancel").await.unwrap();
    let keys = shop.get("/.well-known/eventix-ticket-keys.json").await;
    let query = "query($id: ID!) { bookingHistory(id: $id) { edges { node { to cause actor traceId } } } }";
    let history = shop.data(Some(("office", Role::Admin)), query, json!({"id": id})).await;

    assert_eq!((ticket["usedGate"].as_str(), none.len()), (Some("North"), 0));
    assert_eq!(ticket["seat"]["id"], seats[0].as_str());
    assert!(refused.is_null());
    assert_eq!(errors[0]["code"], "ALREADY_CHECKED_IN");
    assert!(errors[0]["message"].as_str().unwrap().contains("gate North"), "{errors:?}");
    assert_eq!((forged.is_null(), &unknown[0]["code"]), (true, &json!("NOT_FOUND")));
    assert_eq!(cancelled.code(), "ALREADY_CHECKED_IN");
    assert_eq!(shop.booking("alice", &id).await["state"], "CONFIRMED");
    assert_eq!((&keys["keys"][0]["crv"], &keys["keys"][0]["kid"]), (&json!("Ed25519"), &json!("1")));
    let steps = history["bookingHistory"]["edges"].as_array().unwrap();
    assert_eq!(
        steps.iter().map(|s| s["node"]["to"].as_str().unwrap()).collect::<Vec<_>>(),
        ["HELD", "PAYING", "CONFIRMED", "CONFIRMED"]
    );
    assert_eq!((&steps[3]["node"]["cause"], &steps[3]["node"]["actor"]), (&json!("check_in"), &json!("door")));
    assert_audit_clean(&product);
}
