//! What services refuse: as data where it was to be expected, at the top level where not.

use common::error::ErrorKind;
use serde_json::{Value, json};
use tonic::Status;

use crate::world::{World, booking, code, id, refusal};

const HOLD: &str = r#"mutation { holdSeats(input: {eventId: "e", seatIds: ["a", "b"], areas: [{areaId: "x", quantity: 2}], idempotencyKey: "k-1"}) {
    booking { id state total { amountMinor currency } } userErrors { field code message seatIds } } }"#;

#[tokio::test]
async fn a_hold_reaches_booking_whole_and_shows_its_answer() {
    let world = World::start().await;
    world.script.bookings.lock().unwrap().push(booking(5));

    let answer = world.ask(&world.alice(), HOLD).await;

    let expected = json!({"id": id(5), "state": "HELD", "total": {"amountMinor": 2500, "currency": "EUR"}});
    assert_eq!(answer, json!({"data": {"holdSeats": {"booking": expected, "userErrors": []}}}));
    let sent = &world.script.calls("hold_seats")[0].message;
    for part in [r#"event_id: "e""#, r#"seat_ids: ["a", "b"]"#, r#"area_id: "x", quantity: 2"#, r#"request_id: "k-1""#]
    {
        assert!(sent.contains(part), "{part} in {sent}");
    }
}

#[tokio::test]
async fn expected_refusals_are_user_errors() {
    use ErrorKind::{Conflict, FailedPrecondition, InvalidInput, NotFound};
    let world = World::start().await;
    for (kind, reason, field, path) in [
        (Conflict, "SOLD_OUT", Some("areas[0].quantity"), json!(["areas", "0", "quantity"])),
        (FailedPrecondition, "NOT_ON_SALE", None, Value::Null),
        (Conflict, "LIMIT_EXCEEDED", Some("seat_ids"), json!(["seatIds"])),
        (FailedPrecondition, "HOLD_EXPIRED", None, Value::Null),
        (FailedPrecondition, "INVALID_STATE", None, Value::Null),
        (NotFound, "NOT_FOUND", Some("event_id"), json!(["eventId"])),
        (InvalidInput, "INVALID_INPUT", Some("seat_ids"), json!(["seatIds"])),
        (Conflict, "IDEMPOTENCY_CONFLICT", Some("request_id"), json!(["idempotencyKey"])),
        (FailedPrecondition, "VERSION_CONFLICT", Some("expected_version"), json!(["expectedVersion"])),
    ] {
        world.script.refuse("hold_seats", refusal(kind, reason, field, &[]));

        let answer = world.ask(&world.alice(), HOLD).await;

        let error = json!({"field": path, "code": reason, "message": format!("refused: {reason}"), "seatIds": null});
        assert_eq!(answer, json!({"data": {"holdSeats": {"booking": null, "userErrors": [error]}}}));
    }
}

#[tokio::test]
async fn lost_seats_come_as_one_user_error() {
    let world = World::start().await;
    let status = refusal(ErrorKind::Conflict, "SEATS_TAKEN", Some("seat_ids"), &[("seat_ids", "a,b")]);
    world.script.refuse("hold_seats", status);

    let answer = world.ask(&world.alice(), HOLD).await;

    let errors = &answer["data"]["holdSeats"]["userErrors"];
    assert_eq!(errors.as_array().map(Vec::len), Some(1));
    assert_eq!((&errors[0]["code"], &errors[0]["seatIds"]), (&json!("SEATS_TAKEN"), &json!(["a", "b"])));
}

#[tokio::test]
async fn seats_left_alone_are_named_and_parties_reach_booking_as_asked() {
    let world = World::start().await;
    let status = refusal(ErrorKind::Conflict, "ORPHAN_SEAT", Some("seat_ids"), &[("seat_ids", "c")]);
    world.script.refuse("hold_seats", status);

    let answer = world.ask(&world.alice(), HOLD).await;
    let error = &answer["data"]["holdSeats"]["userErrors"][0];
    assert_eq!((&error["code"], &error["seatIds"]), (&json!("ORPHAN_SEAT"), &json!(["c"])));

    let best = r#"mutation { holdBestAvailable(input: {eventId: "e", quantity: 3, category: "Stalls", accessible: true,
        idempotencyKey: "k-1"}) { booking { id } userErrors { code } } }"#;
    world.ask(&world.alice(), best).await;
    let asked = &world.script.calls("hold_best_available")[0].message;
    for part in [r#"event_id: "e""#, "quantity: 3", r#"category: "Stalls""#, "accessible: true", r#"request_id: "k-1""#]
    {
        assert!(asked.contains(part), "{part} in {asked}");
    }
}

#[tokio::test]
async fn unexpected_trouble_is_a_top_level_error_without_inner_text() {
    let world = World::start().await;
    for (status, expected) in [
        (Status::internal("password is hunter2"), "INTERNAL_SERVER_ERROR"),
        (Status::unknown("panic at line 7"), "INTERNAL_SERVER_ERROR"),
        (refusal(ErrorKind::Internal, "INTERNAL", None, &[]), "INTERNAL_SERVER_ERROR"),
        (refusal(ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", None, &[]), "UNAVAILABLE"),
        (refusal(ErrorKind::Unavailable, "UNAVAILABLE", None, &[]), "UNAVAILABLE"),
        (refusal(ErrorKind::Unauthenticated, "UNAUTHENTICATED", None, &[]), "UNAUTHENTICATED"),
        (refusal(ErrorKind::PermissionDenied, "FORBIDDEN", None, &[]), "FORBIDDEN"),
    ] {
        world.script.refuse("hold_seats", status);

        let answer = world.post(Some(&world.alice()), &json!({"query": HOLD}), &[]).await;

        let json = answer.json();
        assert_eq!(code(&json), Some(expected), "{json}");
        assert_eq!(json["data"], json!({"holdSeats": null}));
        assert_eq!(json["errors"][0]["extensions"]["traceId"].as_str(), answer.header("x-trace-id"));
        assert!(!answer.text.contains("hunter2") && !answer.text.contains("line 7"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_write_with_a_key_is_tried_again_while_booking_is_away() {
    let world = World::start().await;
    world.script.refuse("hold_seats", Status::unavailable("restarting"));

    world.ask(&world.alice(), HOLD).await;

    assert_eq!(world.script.calls("hold_seats").len(), 3);
}

#[tokio::test]
async fn services_that_are_gone_are_unavailable() {
    let world = World::start().await;
    world.stop_services().await;

    let answer = world.browse("{ events { __typename } }").await;

    assert_eq!(code(&answer), Some("UNAVAILABLE"), "{answer}");
    assert_eq!(answer["data"], json!({"events": null}));
}

#[tokio::test]
async fn input_that_cannot_be_is_refused_before_any_call() {
    let world = World::start().await;
    let admin = world.admin();
    let cases = [
        (
            r#"holdSeats(input: {eventId: "e", idempotencyKey: ""}) { userErrors { field code } }"#,
            json!(["idempotencyKey"]),
        ),
        (
            r#"holdSeats(input: {eventId: "e", areas: [{areaId: "x", quantity: -1}], idempotencyKey: "k"}) { userErrors { field code } }"#,
            json!(["areas", "0", "quantity"]),
        ),
        (
            r#"setPrices(input: {eventId: "e", prices: [{amountMinor: 5}]}) { userErrors { field code } }"#,
            json!(["prices", "0"]),
        ),
        (
            r#"updateEvent(input: {eventId: "e", expectedVersion: 1, perCustomerLimit: 0}) { userErrors { field code } }"#,
            json!(["perCustomerLimit"]),
        ),
        (
            r#"updateEvent(input: {eventId: "e", expectedVersion: 1, cancellationPolicy: {brackets: [{hoursBefore: 1, percent: -5}]}}) { userErrors { field code } }"#,
            json!(["cancellationPolicy", "brackets", "0", "percent"]),
        ),
    ];
    for (field, path) in cases {
        let answer = world.ask(&admin, &format!("mutation {{ f: {field} }}")).await;
        assert_eq!(answer["data"]["f"]["userErrors"], json!([{"field": path, "code": "INVALID_INPUT"}]), "{answer}");
    }
    for method in ["hold_seats", "set_prices", "update_event"] {
        assert!(world.script.calls(method).is_empty());
    }
}

#[tokio::test]
async fn refusals_of_seat_prices_point_at_seat_prices() {
    let world = World::start().await;
    let status = refusal(ErrorKind::InvalidInput, "INVALID_INPUT", Some("prices[1].seat_id"), &[]);
    world.script.refuse("set_prices", status);

    let answer = world
        .ask(
            &world.admin(),
            r#"mutation { setPrices(input: {eventId: "e", prices: [{category: "A", amountMinor: 5}],
                seatPrices: [{seatId: "s", amountMinor: 9}]}) { userErrors { field } } }"#,
        )
        .await;

    assert_eq!(answer["data"]["setPrices"]["userErrors"], json!([{"field": ["seatPrices", "0", "seatId"]}]));
}
