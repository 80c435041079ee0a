//! Who may ask what, and with whose token the services are asked.

use common::auth::Role;
use serde_json::json;

use crate::world::{World, booking, code, event, id};

#[tokio::test]
async fn a_bad_token_is_refused_even_for_browsing() {
    let world = World::start().await;
    let body = json!({"query": "{ events { __typename } }"});
    let good = world.alice();
    for bearer in ["Bearer nonsense", "Basic YTpi", "Bearer ", &format!("Bearer {good}x"), &good] {
        let headers = [("authorization", bearer)];
        let answer = world.post(None, &body, &headers).await;

        assert_eq!(answer.status, 401, "{bearer}");
        assert_eq!(code(&answer.json()), Some("UNAUTHENTICATED"), "{bearer}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert!(world.script.calls("search_events").is_empty());
}

#[tokio::test]
async fn what_belongs_to_somebody_needs_a_token() {
    let world = World::start().await;
    let input = r#"bookingId: "b", idempotencyKey: "k""#;
    for document in [
        r#"{ f: booking(id: "x") { id } }"#.to_owned(),
        "{ f: myBookings { __typename } }".into(),
        r#"{ f: bookings(eventId: "x") { __typename } }"#.into(),
        "{ f: venues { __typename } }".into(),
        r#"{ f: seatingPlans(venueId: "x") { __typename } }"#.into(),
        "{ f: events(status: DRAFT) { __typename } }".into(),
        format!("mutation {{ f: releaseBooking(input: {{{input}}}) {{ booking {{ id }} }} }}"),
        format!("mutation {{ f: cancelBooking(input: {{{input}}}) {{ booking {{ id }} }} }}"),
        format!(r#"mutation {{ f: payBooking(input: {{{input}, paymentToken: "t"}}) {{ booking {{ id }} }} }}"#),
        r#"mutation { f: holdSeats(input: {eventId: "e", idempotencyKey: "k"}) { booking { id } } }"#.into(),
        r#"mutation { f: publishEvent(input: {eventId: "e"}) { event { id } } }"#.into(),
        r#"mutation { f: createVenue(input: {name: "n", timeZone: "UTC"}) { venue { id } } }"#.into(),
    ] {
        let answer = world.browse(&document).await;

        assert_eq!(code(&answer), Some("UNAUTHENTICATED"), "{document}: {answer}");
        assert_eq!(answer["data"], json!({"f": null}), "{document}");
        assert_eq!(answer["errors"][0]["path"], json!(["f"]), "{document}");
    }
}

#[tokio::test]
async fn what_is_for_admins_is_forbidden_to_customers() {
    let world = World::start().await;
    let alice = world.alice();
    for document in [
        r#"{ bookings(eventId: "x") { __typename } }"#,
        "{ venues { __typename } }",
        r#"{ seatingPlans(venueId: "x") { __typename } }"#,
        "{ events(status: PUBLISHED) { __typename } }",
        r#"mutation { publishEvent(input: {eventId: "e"}) { event { id } } }"#,
        r#"mutation { cancelEvent(input: {eventId: "e"}) { event { id } } }"#,
        r#"mutation { setPrices(input: {eventId: "e", prices: []}) { event { id } } }"#,
        r#"mutation { updateEvent(input: {eventId: "e", expectedVersion: 1}) { event { id } } }"#,
        r#"mutation { importSeatingPlan(input: {venueId: "v", plan: {}}) { seatingPlan { id } } }"#,
        r#"mutation { createVenue(input: {name: "n", timeZone: "UTC"}) { venue { id } } }"#,
    ] {
        let answer = world.ask(&alice, document).await;
        assert_eq!(code(&answer), Some("FORBIDDEN"), "{document}: {answer}");
    }
    let service = world.token("other-service", Role::Service);
    let answer = world.ask(&service, "{ venues { __typename } }").await;
    assert_eq!(code(&answer), Some("FORBIDDEN"));
}

#[tokio::test]
async fn users_are_forwarded_and_browsers_are_read_for_by_the_gateway() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    world.script.bookings.lock().unwrap().push(booking(5));
    let document = format!(r#"{{ event(id: "{}") {{ availability {{ free }} }} }}"#, id(1));

    world.browse(&document).await;
    world.ask(&world.alice(), &document).await;
    world.ask(&world.admin(), &document).await;
    world.ask(&world.alice(), "{ myBookings { edges { node { payment { state } } } } }").await;

    let roles =
        |method: &str| -> Vec<Role> { world.script.calls(method).iter().map(|call| call.caller.roles[0]).collect() };
    assert_eq!(roles("batch_get_events"), [Role::Service, Role::Admin], "what alice may see was there already");
    assert_eq!(roles("batch_get_availability"), [Role::Service; 3]);
    assert_eq!(roles("list_bookings"), [Role::Customer]);
    assert_eq!(roles("batch_get_payments"), [Role::Customer]);
    assert_eq!(world.script.calls("list_bookings")[0].caller.subject, "alice");
}

#[tokio::test]
async fn drafts_are_shown_to_admins_only() {
    let world = World::start().await;
    let mut draft = event(1);
    (draft.status, draft.offer_version) = (1, 0);
    world.script.events.lock().unwrap().extend([draft, event(2)]);
    let document = format!(r#"{{ event(id: "{}") {{ status }} node(id: "{}") {{ id }} }}"#, id(1), id(1));

    let nothing = json!({"data": {"event": null, "node": null}});
    assert_eq!(world.browse(&document).await, nothing);
    assert_eq!(world.ask(&world.admin(), &document).await["data"]["event"]["status"], "DRAFT");
    let drafts = world.ask(&world.admin(), "{ events(status: DRAFT) { edges { node { title } } } }").await;
    assert_eq!(drafts["data"]["events"]["edges"], json!([{"node": {"title": "Event 1"}}]));
    let all = world.ask(&world.admin(), "{ events { edges { node { title } } } }").await;
    assert_eq!(all["data"]["events"]["edges"], json!([{"node": {"title": "Event 2"}}]));
}
