//! Refunds at the edge: who may give them, what reaches booking, and what a booking shows of them.

use common::error::ErrorKind;
use common::proto::booking::v1 as pb;
use common::proto::common::v1::Money;
use serde_json::json;

use crate::world::{World, booking, code, id, refusal};

const REFUND: &str = r#"mutation($in: RefundBookingInput!) { refundBooking(input: $in) {
    booking { id refundedMinor refunds { id amount { amountMinor currency } state reason createdAt }
        items { refunded { amountMinor } cancelledAt } }
    userErrors { field code message } } }"#;

fn refund(n: u32, amount_minor: i64, state: pb::RefundState) -> pb::Refund {
    pb::Refund {
        id: id(n),
        amount: Some(Money { amount_minor, currency: "EUR".into() }),
        state: state.into(),
        reason: "sorry".into(),
        created_at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
    }
}

#[tokio::test]
async fn a_booking_shows_its_refunds_and_counts_those_that_are_done() {
    let world = World::start().await;
    let mut sold = booking(5);
    sold.refunds = vec![refund(1, 300, pb::RefundState::Done), refund(2, 200, pb::RefundState::Requested)];
    sold.items[0].refunded = Some(Money { amount_minor: 500, currency: "EUR".into() });
    sold.items[0].cancelled_at = sold.refunds[1].created_at;
    world.script.bookings.lock().unwrap().push(sold);
    let input = json!({"bookingId": id(5), "itemIds": [id(1005)], "amountMinor": 200, "reason": "sorry", "idempotencyKey": "k"});

    let answer = world.ask_with(&world.admin(), REFUND, json!({"in": input})).await;

    let shown = &answer["data"]["refundBooking"]["booking"];
    assert_eq!(shown["refundedMinor"], 300, "{answer}");
    assert_eq!(
        shown["refunds"][1],
        json!({"id": id(2), "amount": {"amountMinor": 200, "currency": "EUR"}, "state": "REQUESTED", "reason": "sorry",
            "createdAt": "2027-01-15T08:00:00Z"})
    );
    assert_eq!(shown["items"], json!([{"refunded": {"amountMinor": 500}, "cancelledAt": "2027-01-15T08:00:00Z"}]));
    let sent = &world.script.calls("refund_booking")[0].message;
    for part in ["amount_minor: Some(200)", r#"reason: "sorry""#, r#"request_id: "k""#] {
        assert!(sent.contains(part), "{part} in {sent}");
    }
}

#[tokio::test]
async fn refunds_are_given_by_admins_who_say_what_they_mean() {
    let world = World::start().await;
    world.script.bookings.lock().unwrap().push(booking(5));
    let everything = json!({"in": {"bookingId": id(5), "idempotencyKey": "k"}});
    let nothing = json!({"in": {"bookingId": id(5), "itemIds": [], "idempotencyKey": "k"}});

    let customer = world.ask_with(&world.alice(), REFUND, everything.clone()).await;
    let vague = world.ask_with(&world.admin(), REFUND, nothing).await;
    let calls = world.script.calls("refund_booking").len();
    let exceeds = refusal(ErrorKind::FailedPrecondition, "REFUND_EXCEEDS", Some("amount_minor"), &[]);
    world.script.refuse("refund_booking", exceeds);
    let refused = world.ask_with(&world.admin(), REFUND, everything).await;

    assert_eq!(code(&customer), Some("FORBIDDEN"));
    assert_eq!((&vague["data"]["refundBooking"]["userErrors"][0]["field"], calls), (&json!(["itemIds"]), 0));
    let error = &refused["data"]["refundBooking"]["userErrors"][0];
    assert_eq!((&error["code"], &error["field"]), (&json!("REFUND_EXCEEDS"), &json!(["amountMinor"])));
}

#[tokio::test]
async fn a_scan_with_a_key_is_asked_for_again_when_its_answer_was_lost() {
    let world = World::start().await;
    let scan =
        r#"mutation { checkIn(input: {token: "t", gate: "North", idempotencyKey: "k"}) { userErrors { code } } }"#;
    world.script.refuse("check_in", tonic::Status::unavailable("restarting"));

    world.ask(&world.admin(), scan).await;

    let calls = world.script.calls("check_in");
    assert_eq!(calls.len(), 3);
    assert!(calls[0].message.contains(r#"request_id: "k""#), "{}", calls[0].message);
}
