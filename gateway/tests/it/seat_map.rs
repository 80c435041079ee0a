//! Seat maps: plan, states and prices put together, a stadium in one query.

use std::time::Instant;

use common::proto::booking::v1 as booking;
use common::proto::catalog::v1 as catalog;
use serde_json::json;

use crate::world::{World, code, event, id};

fn seat(n: u32, category: &str) -> catalog::PlanSeat {
    catalog::PlanSeat {
        id: id(n),
        number: n.to_string(),
        label: format!("Stalls, row A, seat {n}"),
        x: f64::from(n) * 22.0,
        y: 26.5,
        category: category.into(),
        accessible: n == 2,
        companion: false,
    }
}

fn price(target: catalog::price::Target, amount_minor: i64) -> catalog::Price {
    catalog::Price { target: Some(target), amount_minor }
}

/// Three seats in two zones, and one area; seat 3 has a price of its own.
fn small(world: &World) {
    use catalog::price::Target::{AreaId, Category, SeatId};
    let mut event = event(1);
    event.prices = vec![
        price(Category("A".into()), 5000),
        price(Category("B".into()), 3000),
        price(SeatId(id(13)), 9900),
        price(AreaId(id(50)), 1500),
    ];
    world.script.events.lock().unwrap().push(event);
    let area = catalog::Area { id: id(50), name: "Floor".into(), capacity: 300 };
    let summary = catalog::SeatingPlanSummary {
        id: id(900),
        seat_count: 3,
        categories: vec!["A".into(), "B".into()],
        areas: vec![area],
        ..Default::default()
    };
    let row =
        |zone: &str, zone_index, seats| catalog::PlanRow { zone: zone.into(), name: "A".into(), seats, zone_index };
    *world.script.plan.lock().unwrap() = vec![
        catalog::StreamSeatingPlanResponse {
            summary: Some(summary),
            rows: vec![row("Stalls", 0, vec![seat(11, "A"), seat(2, "B")])],
        },
        catalog::StreamSeatingPlanResponse { summary: None, rows: vec![row("Circle", 1, vec![seat(13, "B")])] },
    ];
}

#[tokio::test]
async fn plan_states_and_prices_are_put_together() {
    let world = World::start().await;
    small(&world);
    *world.script.seat_states.lock().unwrap() = booking::GetSeatStatesResponse {
        seats: vec![2, 0, 1].into(),
        areas: vec![booking::AreaFree { area_id: id(50), free: 299 }],
        seating_plan_id: id(900),
    };
    let document = format!(
        r#"query {{ event(id: "{}") {{ seatMap {{ zones {{ name rows {{ name seats {{ ...Seat status }} }} }}
            areas {{ id name capacity free price {{ amountMinor currency }} }} }} }} }}
        fragment Seat on Seat {{ __typename key: id number label x y category accessible price {{ amountMinor }}
            ... on Seat {{ price {{ currency }} }} }}"#,
        id(1)
    );

    let answer = world.browse(&document).await;

    let seat = |n: u32, category: &str, status: &str, amount: i64| {
        json!({
            "__typename": "Seat", "key": id(n), "number": n.to_string(), "label": format!("Stalls, row A, seat {n}"),
            "x": f64::from(n) * 22.0, "y": 26.5, "category": category, "accessible": n == 2, "status": status,
            "price": {"amountMinor": amount, "currency": "EUR"},
        })
    };
    let stalls = json!([{"name": "A", "seats": [seat(11, "A", "SOLD", 5000), seat(2, "B", "FREE", 3000)]}]);
    let circle = json!([{"name": "A", "seats": [seat(13, "B", "HELD", 9900)]}]);
    let area = json!({"id": id(50), "name": "Floor", "capacity": 300, "free": 299, "price": {"amountMinor": 1500, "currency": "EUR"}});
    let expected =
        json!({"zones": [{"name": "Stalls", "rows": stalls}, {"name": "Circle", "rows": circle}], "areas": [area]});
    assert_eq!(answer, json!({"data": {"event": {"seatMap": expected}}}));
}

#[tokio::test]
async fn an_event_unknown_to_booking_is_wholly_free_and_its_plan_is_read_once() {
    let world = World::start().await;
    small(&world);
    let document = format!(
        r#"{{ event(id: "{}") {{ seatMap {{ zones {{ rows {{ seats {{ status }} }} }} areas {{ free }} }} }} }}"#,
        id(1)
    );

    let answers = futures_util::future::join_all((0..8).map(|_| world.browse(&document))).await;

    for answer in answers {
        let map = &answer["data"]["event"]["seatMap"];
        assert_eq!(map["zones"][0]["rows"][0]["seats"], json!([{"status": "FREE"}, {"status": "FREE"}]), "{answer}");
        assert_eq!(map["areas"], json!([{"free": 300}]));
    }
    assert_eq!(world.script.calls("stream_seating_plan").len(), 1);
    assert_eq!(world.script.calls("get_seat_states").len(), 8);
}

#[tokio::test]
async fn two_fragments_may_select_different_fields_of_the_same_seats() {
    let world = World::start().await;
    small(&world);
    let document = format!(
        r#"{{ event(id: "{}") {{ ...Numbers ...States }} }}
        fragment Numbers on Event {{ seatMap {{ zones {{ rows {{ seats {{ number price {{ amountMinor }} }} }} }} }} }}
        fragment States on Event {{ seatMap {{ zones {{ rows {{ seats {{ status price {{ currency }} }} }} }} }} }}"#,
        id(1)
    );

    let answer = world.browse(&document).await;

    let seat = &answer["data"]["event"]["seatMap"]["zones"][0]["rows"][0]["seats"][0];
    assert_eq!(*seat, json!({"number": "11", "status": "FREE", "price": {"amountMinor": 5000, "currency": "EUR"}}));
}

#[tokio::test]
async fn states_that_do_not_fit_the_plan_are_an_error_not_a_guess() {
    let world = World::start().await;
    small(&world);
    *world.script.seat_states.lock().unwrap() =
        booking::GetSeatStatesResponse { seats: vec![0, 0].into(), areas: vec![], seating_plan_id: id(900) };

    let answer =
        world.browse(&format!(r#"{{ event(id: "{}") {{ title seatMap {{ areas {{ id }} }} }} }}"#, id(1))).await;

    assert_eq!(code(&answer), Some("INTERNAL_SERVER_ERROR"));
    assert_eq!(answer["data"], json!({"event": {"title": "Event 1", "seatMap": null}}));
}

#[tokio::test]
async fn a_stadium_is_one_query() {
    let world = World::start().await;
    small(&world);
    let row = |n: u32| catalog::PlanRow {
        zone: format!("Sector {}", n / 30),
        name: n.to_string(),
        seats: (0..16).map(|seat| self::seat(n * 16 + seat, "A")).collect(),
        zone_index: n / 30,
    };
    let summary =
        catalog::SeatingPlanSummary { seat_count: 24_000, categories: vec!["A".into()], ..Default::default() };
    let mut plan = vec![catalog::StreamSeatingPlanResponse { summary: Some(summary), rows: vec![] }];
    for start in (0..1500).step_by(100) {
        plan.push(catalog::StreamSeatingPlanResponse { summary: None, rows: (start..start + 100).map(row).collect() });
    }
    *world.script.plan.lock().unwrap() = plan;
    let document = format!(
        r#"{{ event(id: "{}") {{ seatMap {{ zones {{ name rows {{ name seats {{ id number label x y category accessible status
            price {{ amountMinor currency }} }} }} }} areas {{ id }} }} }} }}"#,
        id(1)
    );
    world.browse(&document).await;

    let started = Instant::now();
    let answer = world.post(None, &json!({"query": document}), &[]).await;
    let took = started.elapsed();

    println!("24,000 seats: {} bytes in {took:?}", answer.text.len());
    let json = answer.json();
    let zones = json["data"]["event"]["seatMap"]["zones"].as_array().unwrap();
    let rows = zones.iter().flat_map(|zone| zone["rows"].as_array().unwrap());
    assert_eq!(rows.map(|row| row["seats"].as_array().unwrap().len()).sum::<usize>(), 24_000);
    assert_eq!(zones.len(), 50);
}
