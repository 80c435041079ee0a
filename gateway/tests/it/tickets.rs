//! Check-in, ticket keys and histories at the edge.

use common::error::ErrorKind;
use common::proto::booking::v1::{BookingState, HistoryEntry, Ticket};
use http::Method;
use serde_json::json;

use crate::world::{World, booking, code, id, refusal};

const CHECK_IN: &str = r#"mutation { checkIn(input: {token: "signed", gate: "North"}) {
    ticket { id usedAt usedGate void seat { label } } userErrors { field code message } } }"#;

#[tokio::test]
async fn a_ticket_is_checked_in_by_admins_only() {
    let world = World::start().await;
    let mut sold = booking(5);
    let used_at = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
    let (token, used_gate) = ("signed".to_owned(), "North".to_owned());
    sold.tickets.push(Ticket { id: id(77), token, used_at, used_gate, ..Ticket::default() });
    world.script.bookings.lock().unwrap().push(sold);

    let admitted = world.ask(&world.admin(), CHECK_IN).await;
    let customer = world.ask(&world.alice(), CHECK_IN).await;
    let anonymous = world.browse(CHECK_IN).await;

    let ticket = json!({"id": id(77), "usedAt": "2027-01-15T08:00:00Z", "usedGate": "North", "void": false,
        "seat": {"label": "Stalls, row C, seat 12"}});
    assert_eq!(admitted, json!({"data": {"checkIn": {"ticket": ticket, "userErrors": []}}}));
    assert_eq!((code(&customer), code(&anonymous)), (Some("FORBIDDEN"), Some("UNAUTHENTICATED")));
    let calls = world.script.calls("check_in");
    assert_eq!((calls.len(), calls[0].caller.subject.as_str()), (1, "boss"));
    assert!(calls[0].message.contains(r#"token: "signed", gate: "North""#), "{}", calls[0].message);
}

#[tokio::test]
async fn a_second_scan_is_a_user_error_and_a_lost_answer_is_not_asked_for_again() {
    let world = World::start().await;
    let second = refusal(ErrorKind::FailedPrecondition, "ALREADY_CHECKED_IN", Some("token"), &[]);
    world.script.refuse("check_in", second);
    let refused = world.ask(&world.admin(), CHECK_IN).await;
    world.script.refuse("check_in", tonic::Status::unavailable("restarting"));
    let lost = world.ask(&world.admin(), CHECK_IN).await;

    let error = json!({"field": ["token"], "code": "ALREADY_CHECKED_IN", "message": "refused: ALREADY_CHECKED_IN"});
    assert_eq!(refused, json!({"data": {"checkIn": {"ticket": null, "userErrors": [error]}}}));
    assert_eq!(code(&lost), Some("UNAVAILABLE"));
    assert_eq!(world.script.calls("check_in").len(), 2);
}

#[tokio::test]
async fn ticket_keys_are_public_and_may_be_kept_for_a_while() {
    for world in [World::start().await, World::closed().await] {
        let keys = world.send(Method::GET, "/.well-known/eventix-ticket-keys.json", &[], "").await;

        let x = "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s";
        let key = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x, "alg": "EdDSA", "use": "sig"});
        assert_eq!((keys.status, keys.json()), (200, json!({"keys": [key("1"), key("2")]})));
        assert_eq!(keys.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(keys.header("content-type"), Some("application/json"));

        let again = world.send(Method::GET, "/.well-known/eventix-ticket-keys.json", &[], "").await;
        assert_eq!((again.json(), world.script.calls("list_ticket_keys").len()), (keys.json(), 1), "booking is spared");

        world.script.refuse("list_ticket_keys", tonic::Status::unavailable("restarting"));
        tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
        let away = world.send(Method::GET, "/.well-known/eventix-ticket-keys.json", &[], "").await;
        assert_eq!((away.status, away.header("cache-control")), (503, Some("no-store")));
    }
}

#[tokio::test]
async fn histories_are_pages_for_admins() {
    let world = World::start().await;
    world.script.bookings.lock().unwrap().push(booking(5));
    let entry = |from: BookingState, to: BookingState, trace_id: &str| HistoryEntry {
        at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        from: from.into(),
        to: to.into(),
        cause: "hold".into(),
        actor: "alice".into(),
        trace_id: trace_id.into(),
        booking_id: id(5),
        item_id: if trace_id.is_empty() { String::new() } else { id(7) },
        detail: if trace_id.is_empty() { String::new() } else { "gate North".into() },
    };
    world.script.history.lock().unwrap().extend([
        entry(BookingState::Unspecified, BookingState::Held, "4bf9"),
        entry(BookingState::Held, BookingState::Expired, ""),
    ]);
    let fields =
        "edges { cursor node { at from to cause actor traceId bookingId itemId detail } } pageInfo { hasNextPage }";
    let of_booking = format!(r#"{{ bookingHistory(id: "{}") {{ {fields} }} }}"#, id(5));
    let of_seat = |after: &str| {
        format!(r#"{{ seatHistory(eventId: "e", seatId: "s", first: 1, after: {after}) {{ {fields} }} }}"#)
    };

    let whole = world.ask(&world.admin(), &of_booking).await;
    let first = world.ask(&world.admin(), &of_seat("null")).await;
    let cursor = first["data"]["seatHistory"]["edges"][0]["cursor"].to_string();
    let second = world.ask(&world.admin(), &of_seat(&cursor)).await;
    let absent = world.ask(&world.admin(), r#"{ bookingHistory(id: "x") { __typename } }"#).await;
    let customer = world.ask(&world.alice(), &of_booking).await;

    let edges = &whole["data"]["bookingHistory"]["edges"];
    let held = json!({"at": "2027-01-15T08:00:00Z", "from": null, "to": "HELD", "cause": "hold", "actor": "alice",
        "traceId": "4bf9", "bookingId": id(5), "itemId": id(7), "detail": "gate North"});
    assert_eq!(edges[0]["node"], held);
    assert_eq!(
        (&edges[1]["node"]["from"], &edges[1]["node"]["to"], &edges[1]["node"]["traceId"]),
        (&json!("HELD"), &json!("EXPIRED"), &json!(null))
    );
    assert_eq!(first["data"]["seatHistory"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(second["data"]["seatHistory"]["edges"][0]["node"], edges[1]["node"]);
    assert_eq!(absent, json!({"data": {"bookingHistory": null}}));
    assert_eq!(code(&customer), Some("FORBIDDEN"));
}
