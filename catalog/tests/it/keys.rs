//! One request id: one effect and the first answer again, at once or later, whatever became of things since.

use common::proto::catalog::v1 as proto;
use proto::import_seating_plan_request::Part;
use tokio::task::JoinSet;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{World, header, price, price_of_area, refusal, theatre_file, venue_named};

on_both_databases!(
    every_write_has_one_effect_and_one_answer_per_key,
    the_first_answer_is_given_again_whatever_changed_since,
    a_refusal_is_not_remembered_and_a_key_belongs_to_one_caller_and_operation,
);

/// Calls at once.
const CALLS: usize = 50;

/// Sends one request fifty times at once, and another body under its key once; returns the one answer.
macro_rules! at_once {
    ($world:expr, $method:ident, $request:expr, $other:expr) => {{
        let mut calls = JoinSet::new();
        for _ in 0..CALLS {
            let (mut client, request) = ($world.catalog.clone(), $world.admin.request($request));
            calls.spawn(async move { client.$method(request).await.map(tonic::Response::into_inner) });
        }
        let answers: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        let refused = $world.catalog.clone().$method($world.admin.request($other)).await;
        assert_eq!(refusal(refused), conflict());
        answers.into_iter().next().unwrap()
    }};
}

fn conflict() -> (Code, String, String) {
    (Code::Aborted, "IDEMPOTENCY_CONFLICT".into(), "request_id".into())
}

fn key() -> String {
    "k".into()
}

async fn every_write_has_one_effect_and_one_answer_per_key(world: World) {
    let venue = |name: &str| proto::CreateVenueRequest { venue: Some(venue_named(name)), request_id: key() };
    at_once!(world, create_venue, venue("Hall"), venue("Other hall"));
    assert_eq!(world.count("venues").await, 1);

    let other_file = [theatre_file(), b" ".to_vec()].concat();
    let imported = at_once!(world, import_seating_plan, import_of(&theatre_file()), import_of(&other_file));
    assert_eq!((world.count("seating_plans").await, world.count("seats").await), (1, 5));
    let plan = imported.plan.unwrap();

    let draft = |title: &str| {
        let event = Some(world.event_on(&plan, title, 100));
        proto::CreateEventRequest { event, request_id: key() }
    };
    let created = at_once!(world, create_event, draft("Hamlet"), draft("Macbeth")).event.unwrap();
    assert_eq!(world.count("events").await, 1);

    let update = |title: &str| proto::UpdateEventRequest {
        event_id: created.id.clone(),
        expected_version: 1,
        title: Some(title.into()),
        request_id: key(),
        ..Default::default()
    };
    let updated = at_once!(world, update_event, update("Othello"), update("Lear")).event.unwrap();
    assert_eq!((updated.title.as_str(), updated.version), ("Othello", 2));

    let publish = |id: &str| proto::PublishEventRequest { event_id: id.into(), request_id: key() };
    let published = at_once!(world, publish_event, publish(&created.id), publish("another")).event.unwrap();
    assert_eq!((published.status(), published.version), (proto::EventStatus::Published, 3));

    let prices = |amount| proto::SetPricesRequest {
        event_id: created.id.clone(),
        prices: vec![price("A", amount), price("B", 3_000), price_of_area(&plan.areas[0].id, 2_000)],
        request_id: key(),
    };
    let repriced = at_once!(world, set_prices, prices(6_000), prices(7_000)).event.unwrap();
    assert_eq!((repriced.version, repriced.offer_version), (4, 2));

    let cancel = |id: &str| proto::CancelEventRequest { event_id: id.into(), request_id: key() };
    let cancelled = at_once!(world, cancel_event, cancel(&created.id), cancel("another")).event.unwrap();
    assert_eq!((cancelled.status(), cancelled.version), (proto::EventStatus::Cancelled, 5));
    let told: Vec<_> = world.facts(&created.id).await.iter().map(|fact| fact.sequence).collect();
    assert_eq!(told, [1, 2, 3]);
}

/// A theatre with a floor, as a stream of messages.
fn import_of(file: &[u8]) -> tokio_stream::Iter<std::vec::IntoIter<proto::ImportSeatingPlanRequest>> {
    let floor = proto::NewArea { name: "Floor".into(), capacity: 50 };
    let header = proto::ImportSeatingPlanHeader { areas: vec![floor], request_id: key(), ..header("Hall") };
    let parts = vec![Part::Header(header), Part::Chunk(file.to_vec().into())];
    let messages = parts.into_iter().map(|part| proto::ImportSeatingPlanRequest { part: Some(part) });
    tokio_stream::iter(messages.collect::<Vec<_>>())
}

async fn the_first_answer_is_given_again_whatever_changed_since(world: World) {
    let event = world.on_sale().await;
    let title = |title: &str, expected_version, key: &str| proto::UpdateEventRequest {
        event_id: event.id.clone(),
        expected_version,
        title: Some(title.into()),
        request_id: key.into(),
        ..Default::default()
    };
    let publish = proto::PublishEventRequest { event_id: event.id.clone(), request_id: "again".into() };
    let publish = async || {
        let request = world.admin.request(publish.clone());
        world.catalog.clone().publish_event(request).await.unwrap().into_inner().event.unwrap()
    };

    let no_op = publish().await;
    let first = world.update(title("Othello", event.version, "one")).await.unwrap();
    let second = world.update(title("Lear", first.version, "two")).await.unwrap();
    world.cancel(&event.id).await.unwrap();

    assert_eq!(no_op, event);
    assert_eq!(world.update(title("Othello", event.version, "one")).await.unwrap(), first);
    assert_eq!(world.update(title("Lear", first.version, "two")).await.unwrap(), second);
    assert_eq!(publish().await, event);
    assert_eq!(world.facts(&event.id).await.len(), 4);
}

async fn a_refusal_is_not_remembered_and_a_key_belongs_to_one_caller_and_operation(world: World) {
    let create = async |caller: &common::grpc::Caller, name: &str, request_id: &str| {
        let request = proto::CreateVenueRequest { venue: Some(venue_named(name)), request_id: request_id.into() };
        Ok(world.catalog.clone().create_venue(caller.request(request)).await?.into_inner().venue.unwrap())
    };
    let malformed = refusal(create(&world.admin, "Hall", "a\nb").await);
    assert_eq!(malformed, (Code::InvalidArgument, "INVALID_INPUT".into(), "request_id".into()));

    assert_eq!(refusal(create(&world.admin, "", "k").await).2, "name");
    let hall = create(&world.admin, "Hall", "k").await.unwrap();
    assert_eq!(create(&world.admin, "Hall", "k").await.unwrap(), hall);
    assert_eq!(refusal(create(&world.other_admin, "Hall", "k").await).2, "name", "another caller's key is his own");
    assert_eq!(refusal(create(&world.admin, "Hall", "").await).2, "name");

    let plan = world.theatre().await;
    let event = Some(world.event_on(&plan, "Hamlet", 100));
    let request = world.admin.request(proto::CreateEventRequest { event, request_id: "k".into() });
    world.catalog.clone().create_event(request).await.unwrap();
}
