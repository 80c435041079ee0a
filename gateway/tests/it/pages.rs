//! Connections: pages, cursors, and searching for free seats.

use common::proto::booking::v1::Availability;
use serde_json::{Value, json};

use crate::world::{World, booking, code, event, id};

const FIELDS: &str = "edges { cursor node { title } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";

fn titles(answer: &Value) -> Vec<&str> {
    let edges = answer["data"]["events"]["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["title"].as_str().unwrap()).collect()
}

async fn page(world: &World, arguments: &str) -> Value {
    world.browse(&format!("{{ events({arguments}) {{ {FIELDS} }} }}")).await
}

#[tokio::test]
async fn pages_follow_one_another_by_their_cursors() {
    let world = World::start().await;
    world.script.events.lock().unwrap().extend((1..=5).map(event));

    let first = page(&world, "first: 2").await;
    let end = first["data"]["events"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let second = page(&world, &format!(r#"first: 2, after: "{end}""#)).await;
    let start = first["data"]["events"]["edges"][0]["cursor"].as_str().unwrap();
    let behind_first = page(&world, &format!(r#"after: "{start}""#)).await;

    assert_eq!(titles(&first), ["Event 1", "Event 2"]);
    assert_eq!(first["data"]["events"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(first["data"]["events"]["pageInfo"]["hasPreviousPage"], false);
    assert_eq!(titles(&second), ["Event 3", "Event 4"]);
    assert_eq!(second["data"]["events"]["pageInfo"]["hasPreviousPage"], true);
    assert_eq!(titles(&behind_first), ["Event 2", "Event 3", "Event 4", "Event 5"]);
    assert_eq!(behind_first["data"]["events"]["pageInfo"]["hasNextPage"], false);
}

#[tokio::test]
async fn sizes_and_cursors_that_cannot_be_are_named() {
    let world = World::start().await;
    world.script.events.lock().unwrap().extend((1..=3).map(event));
    world.script.bookings.lock().unwrap().extend([booking(5), booking(6)]);
    let bookings = world.ask(&world.alice(), "{ myBookings { edges { cursor } } }").await;
    let foreign = bookings["data"]["myBookings"]["edges"][0]["cursor"].as_str().unwrap().to_owned();
    let own = page(&world, "first: 1").await["data"]["events"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let bent = format!("{}A", &own[..own.len() - 1]);

    for (arguments, argument) in [
        ("first: 0".to_owned(), "first"),
        ("first: 101".into(), "first"),
        ("first: -5".into(), "first"),
        (r#"after: "garbage""#.into(), "after"),
        (r#"after: """#.into(), "after"),
        (format!(r#"after: "{bent}""#), "after"),
        (format!(r#"after: "{foreign}""#), "after"),
    ] {
        let answer = page(&world, &arguments).await;
        assert_eq!(code(&answer), Some("BAD_USER_INPUT"), "{arguments}: {answer}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains(argument), "{arguments}: {answer}");
        assert_eq!(answer["data"], json!({"events": null}));
    }
}

#[tokio::test]
async fn free_seats_are_found_over_several_pages() {
    let world = World::start().await;
    world.script.events.lock().unwrap().extend((1..=9).map(event));
    // 3, 6 and 9 have free seats; booking has not heard of 7, so all of it is free.
    for n in [1, 2, 3, 4, 5, 6, 8, 9] {
        let free = if n % 3 == 0 { 4 } else { 0 };
        let places = Availability { event_id: id(n), free, held: 0, sold: 30 - free, total: 30 };
        world.script.availability.lock().unwrap().insert(id(n), places);
    }

    let first = page(&world, "first: 2, filter: {hasFreeSeats: true}").await;
    let end = first["data"]["events"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let second = page(&world, &format!(r#"first: 2, filter: {{hasFreeSeats: true}}, after: "{end}""#)).await;
    let none = page(&world, "filter: {hasFreeSeats: false}").await;

    assert_eq!(titles(&first), ["Event 3", "Event 6"]);
    assert_eq!(first["data"]["events"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(titles(&second), ["Event 7", "Event 9"]);
    assert_eq!(second["data"]["events"]["pageInfo"]["hasNextPage"], false);
    assert_eq!(titles(&none), ["Event 1", "Event 2", "Event 4", "Event 5", "Event 8"]);
}

#[tokio::test]
async fn a_long_search_stops_and_says_where_to_go_on() {
    let world = World::start().await;
    world.script.events.lock().unwrap().extend((1..=30).map(event));
    for n in 1..=29 {
        let places = Availability { event_id: id(n), free: 0, held: 0, sold: 30, total: 30 };
        world.script.availability.lock().unwrap().insert(id(n), places);
    }

    let empty = page(&world, "first: 2, filter: {hasFreeSeats: true}").await;
    let end = empty["data"]["events"]["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
    let rest = page(&world, &format!(r#"first: 2, filter: {{hasFreeSeats: true}}, after: "{end}""#)).await;

    assert!(titles(&empty).is_empty());
    assert_eq!(empty["data"]["events"]["pageInfo"]["hasNextPage"], true);
    assert_eq!(world.script.calls("search_events").len(), 15, "ten pages, then the other five");
    assert_eq!(titles(&rest), ["Event 30"]);
}
