//! What many fields ask for goes out as one call.

use common::proto::payment::v1::Payment;
use serde_json::json;

use crate::world::{World, booking, event, id};

#[tokio::test]
async fn a_page_of_events_asks_for_its_places_once() {
    let world = World::start().await;
    world.script.events.lock().unwrap().extend((1..=20).map(event));

    let answer = world.browse("{ events { edges { node { availability { free total } } } } }").await;

    assert_eq!(answer["data"]["events"]["edges"][19]["node"]["availability"], json!({"free": 30, "total": 30}));
    assert_eq!(world.script.calls("search_events").len(), 1);
    assert_eq!(world.script.calls("batch_get_availability").len(), 1);
}

#[tokio::test]
async fn a_page_of_bookings_asks_for_events_and_payments_once() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    world.script.bookings.lock().unwrap().extend((5..=24).map(booking));
    let payment = Payment { booking_id: id(6), state: 4, decline_code: "CARD_DECLINED".into(), ..Default::default() };
    world.script.payments.lock().unwrap().push(payment);

    let answer = world
        .ask(
            &world.alice(),
            "{ myBookings { edges { node { event { title availability { free } } payment { state declineCode } } } } }",
        )
        .await;

    let edges = answer["data"]["myBookings"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 20);
    assert_eq!(edges[0]["node"]["payment"], json!(null));
    assert_eq!(edges[1]["node"]["payment"], json!({"state": "DECLINED", "declineCode": "CARD_DECLINED"}));
    assert_eq!(edges[19]["node"]["event"]["title"], "Event 1");
    for method in ["list_bookings", "batch_get_events", "batch_get_payments", "batch_get_availability"] {
        assert_eq!(world.script.calls(method).len(), 1, "{method}");
    }
}

#[tokio::test]
async fn aliases_share_a_batch_and_malformed_ids_are_not_asked_for() {
    let world = World::start().await;
    world.script.events.lock().unwrap().extend([event(1), event(2)]);
    let document = format!(
        r#"{{ a: event(id: "{}") {{ title }} b: event(id: "{}") {{ title }} c: event(id: "nonsense") {{ title }} d: event(id: "{}") {{ title }} }}"#,
        id(1),
        id(2),
        id(3)
    );

    let answer = world.browse(&document).await;

    let expected = json!({"a": {"title": "Event 1"}, "b": {"title": "Event 2"}, "c": null, "d": null});
    assert_eq!(answer, json!({"data": expected}));
    let calls = world.script.calls("batch_get_events");
    assert_eq!(calls.len(), 1);
    assert!(!calls[0].message.contains("nonsense"));
}
