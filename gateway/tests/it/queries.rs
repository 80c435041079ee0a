//! What single things look like, and what is answered when they are not there.

use common::error::ErrorKind;
use common::proto::booking::v1::{BookingState, Ticket};
use serde_json::json;

use crate::world::{World, booking, event, id, refusal, venue};

#[tokio::test]
async fn an_event_shows_what_the_contract_names() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    let document = format!(
        r#"{{ event(id: "{}") {{ id title startsAt endsAt timeZone status venue {{ name city country }} perCustomerLimit version
            priceRange {{ min {{ amountMinor currency }} max {{ amountMinor }} }} availability {{ free held sold total }} }} }}"#,
        id(1)
    );

    let answer = world.browse(&document).await;

    let expected = json!({
        "id": id(1), "title": "Event 1", "startsAt": "2027-01-15T08:00:00Z", "endsAt": null, "timeZone": "Europe/Kyiv",
        "status": "PUBLISHED", "venue": {"name": "Hall 800", "city": "", "country": ""}, "perCustomerLimit": 0, "version": 3,
        "priceRange": {"min": {"amountMinor": 1000, "currency": "EUR"}, "max": {"amountMinor": 5000}},
        "availability": {"free": 30, "held": 0, "sold": 0, "total": 30},
    });
    assert_eq!(answer, json!({"data": {"event": expected}}));
}

#[tokio::test]
async fn a_confirmed_booking_shows_its_tickets_with_their_seats() {
    let world = World::start().await;
    let mut confirmed = booking(5);
    confirmed.state = BookingState::Confirmed.into();
    confirmed.tickets = vec![Ticket {
        id: id(77),
        token: "signed".into(),
        item_id: confirmed.items[0].id.clone(),
        ..Ticket::default()
    }];
    world.script.bookings.lock().unwrap().push(confirmed);

    let answer = world
        .ask(
            &world.alice(),
            &format!(
                r#"{{ booking(id: "{}") {{ state expiresAt items {{ seat {{ id label }} area {{ id }} price {{ amountMinor }} }}
                    tickets {{ id token seat {{ label }} }} }} }}"#,
                id(5)
            ),
        )
        .await;

    let label = "Stalls, row C, seat 12";
    let expected = json!({
        "state": "CONFIRMED", "expiresAt": null,
        "items": [{"seat": {"id": id(2005), "label": label}, "area": null, "price": {"amountMinor": 2500}}],
        "tickets": [{"id": id(77), "token": "signed", "seat": {"label": label}}],
    });
    assert_eq!(answer, json!({"data": {"booking": expected}}));
}

#[tokio::test]
async fn what_is_not_there_is_null_without_an_error() {
    let world = World::start().await;
    let refused = refusal(ErrorKind::NotFound, "NOT_FOUND", None, &[]);
    world.script.refuse("list_bookings", refused.clone());
    world.script.refuse("list_seating_plans", refused);
    let unknown = id(404);

    let answer = world
        .ask(
            &world.admin(),
            &format!(
                r#"{{ event(id: "{unknown}") {{ id }} venue(id: "x") {{ id }} booking(id: "{unknown}") {{ id }} malformed: booking(id: "x") {{ id }}
                    bookings(eventId: "{unknown}") {{ __typename }} noEvent: bookings(eventId: "") {{ __typename }}
                    seatingPlans(venueId: "x") {{ __typename }} node(id: "x") {{ id }} nodes(ids: ["x", "{unknown}"]) {{ id }} }}"#
            ),
        )
        .await;

    assert!(answer.get("errors").is_none(), "{answer}");
    let data = answer["data"].as_object().unwrap();
    assert_eq!(data.len(), 9);
    for (name, value) in data {
        let expected = if name == "nodes" { json!([null, null]) } else { json!(null) };
        assert_eq!(*value, expected, "{name}");
    }
}

#[tokio::test]
async fn nodes_are_found_whatever_they_are() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    world.script.venues.lock().unwrap().push(venue(2));
    world.script.bookings.lock().unwrap().push(booking(3));
    let document = format!(
        r#"{{ nodes(ids: ["{}", "{}", "{}"]) {{ __typename id ... on Event {{ title }} ... on Venue {{ name }} ... on Booking {{ state }} }} }}"#,
        id(1),
        id(2),
        id(3)
    );

    let by_alice = world.ask(&world.alice(), &document).await;
    let by_nobody = world.browse(&document).await;

    let (event, venue) = (
        json!({"__typename": "Event", "id": id(1), "title": "Event 1"}),
        json!({"__typename": "Venue", "id": id(2), "name": "Hall 2"}),
    );
    let booking = json!({"__typename": "Booking", "id": id(3), "state": "HELD"});
    assert_eq!(by_alice, json!({"data": {"nodes": [event, venue, booking]}}));
    assert_eq!(by_nobody, json!({"data": {"nodes": [event, venue, null]}}));
}

#[tokio::test]
async fn an_error_leaves_its_field_null_and_the_others_whole() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    world.script.refuse("batch_get_availability", tonic::Status::internal("broken"));
    let document = format!(r#"{{ event(id: "{}") {{ title availability {{ free }} }} }}"#, id(1));

    let answer = world.browse(&document).await;

    assert_eq!(answer["data"], json!({"event": {"title": "Event 1", "availability": null}}));
    assert_eq!(answer["errors"][0]["path"], json!(["event", "availability"]));
    assert_eq!(answer["errors"][0]["message"], "internal error");
}
