//! Events: their life, their versions and the facts told about them.

use common::ids::EventId;
use common::proto::catalog::v1 as proto;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{World, price, price_of_area, price_of_seat, refusal, venue_named};

on_both_databases!(
    an_event_lives_from_draft_to_cancelled,
    an_event_that_is_over_reads_completed_and_does_not_change,
    a_stale_version_is_refused_and_of_two_writers_one_wins,
    changes_at_the_same_time_leave_no_gap_in_facts_and_offers,
    publishing_while_booking_is_down_is_unavailable_and_can_be_repeated,
    impossible_events_are_refused_with_the_field_at_fault,
    prices_count_only_what_is_for_sale,
);

async fn an_event_lives_from_draft_to_cancelled(world: World) {
    let plan = world.theatre().await;
    let draft = world.create(world.event_on(&plan, "Hamlet", 100)).await.unwrap();
    assert_eq!((draft.status(), draft.version, draft.offer_version), (proto::EventStatus::Draft, 1, 0));
    assert!(world.facts(&draft.id).await.is_empty());

    let title = Some("Macbeth".to_owned());
    let renamed =
        proto::UpdateEventRequest { event_id: draft.id.clone(), expected_version: 1, title, ..Default::default() };
    let renamed = world.update(renamed).await.unwrap();
    assert_eq!((renamed.title.as_str(), renamed.version, renamed.offer_version), ("Macbeth", 2, 0));
    assert!(world.facts(&draft.id).await.is_empty(), "a draft is told to nobody");

    let published = world.publish(&draft.id).await.unwrap();
    assert_eq!((published.status(), published.version, published.offer_version), (proto::EventStatus::Published, 3, 1));
    assert_eq!(world.publish(&draft.id).await.unwrap(), published, "publishing again changes nothing");

    let dearer = [price("A", 6_000), price("B", 3_000), price_of_area(&plan.areas[0].id, 2_000)];
    let changed = world.set_prices(&draft.id, dearer.to_vec()).await.unwrap();
    assert_eq!((changed.version, changed.offer_version), (4, 2));

    let cancelled = world.cancel(&draft.id).await.unwrap();
    assert_eq!((cancelled.status(), cancelled.offer_version), (proto::EventStatus::Cancelled, 2));
    assert_eq!(world.cancel(&draft.id).await.unwrap(), cancelled, "cancelling again changes nothing");
    assert_eq!(world.get(&world.customer, &draft.id).await.unwrap(), cancelled);

    let facts = world.facts(&draft.id).await;
    let told: Vec<_> = facts.iter().map(|fact| (fact.kind.rsplit('.').next().unwrap(), fact.sequence)).collect();
    assert_eq!(told, [("EventPublished", 1), ("EventChanged", 2), ("EventCancelled", 3)]);
    assert_eq!(facts[1].payload::<proto::EventChanged>().unwrap().offer_version, 2);
    assert_eq!(world.count("history").await, 3);

    let update = proto::UpdateEventRequest { event_id: draft.id.clone(), expected_version: 5, ..Default::default() };
    for refused in
        [world.update(update).await, world.set_prices(&draft.id, vec![]).await, world.publish(&draft.id).await]
    {
        assert_eq!(refusal(refused), (Code::FailedPrecondition, "INVALID_STATE".into(), String::new()));
    }
}

async fn an_event_that_is_over_reads_completed_and_does_not_change(world: World) {
    let event = world.on_sale().await;

    world.pass_until(103);

    assert_eq!(world.get(&world.customer, &event.id).await.unwrap().status(), proto::EventStatus::Completed);
    assert_eq!(refusal(world.cancel(&event.id).await).1, "INVALID_STATE");
    assert_eq!(refusal(world.publish(&event.id).await).1, "INVALID_STATE");
}

async fn a_stale_version_is_refused_and_of_two_writers_one_wins(world: World) {
    let event = world.on_sale().await;
    let rename = async |title: &str, expected_version| {
        let (event_id, title) = (event.id.clone(), Some(title.to_owned()));
        world.update(proto::UpdateEventRequest { event_id, expected_version, title, ..Default::default() }).await
    };

    let stale = refusal(rename("Old news", event.version - 1).await);
    let (one, other) = tokio::join!(rename("One", event.version), rename("Other", event.version));

    assert_eq!(stale, (Code::FailedPrecondition, "VERSION_CONFLICT".into(), "expected_version".into()));
    assert_eq!(one.is_ok() as u8 + other.is_ok() as u8, 1);
    let loser = if one.is_err() { one } else { other };
    assert_eq!(refusal(loser).1, "VERSION_CONFLICT");
}

async fn changes_at_the_same_time_leave_no_gap_in_facts_and_offers(world: World) {
    let event = world.on_sale().await;
    let (terms, _) = world.offer(&event.id, 1).await.unwrap();
    let area = &terms.areas[0].area_id;
    let reprice = |amount| world.set_prices(&event.id, vec![price("A", amount), price("B", 1), price_of_area(area, 1)]);

    let outcomes = tokio::join!(reprice(101), reprice(102), reprice(103), reprice(104));

    let done = [outcomes.0, outcomes.1, outcomes.2, outcomes.3].iter().filter(|outcome| outcome.is_ok()).count() as u64;
    assert!(done >= 1);
    let stored = world.get(&world.admin, &event.id).await.unwrap();
    assert_eq!((stored.offer_version, stored.version), (1 + done, event.version + done));
    let sequences: Vec<_> = world.facts(&event.id).await.iter().map(|fact| fact.sequence.cast_unsigned()).collect();
    assert_eq!(sequences, (1..=1 + done).collect::<Vec<_>>());
}

async fn publishing_while_booking_is_down_is_unavailable_and_can_be_repeated(world: World) {
    let plan = world.theatre().await;
    let draft = world.create(world.event_on(&plan, "Hamlet", 100)).await.unwrap();

    world.booking_is_down(true);
    let status = world.publish(&draft.id).await.unwrap_err();
    world.booking_is_down(false);
    let published = world.publish(&draft.id).await.unwrap();

    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("is published") && status.message().contains("again"), "{}", status.message());
    assert_eq!((published.status(), published.offer_version), (proto::EventStatus::Published, 1));
    assert_eq!(world.facts(&draft.id).await.len(), 1);
    assert_eq!(*world.booking.asked.lock().unwrap(), [(draft.id, 1)]);
}

/// The last second that a date of our libraries can be.
const LATEST: prost_types::Timestamp = prost_types::Timestamp { seconds: 8_210_266_876_799, nanos: 0 };

async fn impossible_events_are_refused_with_the_field_at_fault(world: World) {
    let plan = world.theatre().await;
    let elsewhere = proto::CreateVenueRequest { venue: Some(venue_named("Elsewhere")), ..Default::default() };
    let elsewhere = world.catalog.clone().create_venue(world.admin.request(elsewhere)).await.unwrap();
    let elsewhere = elsewhere.into_inner().venue.unwrap().id;
    let good = || world.event_on(&plan, "Hamlet", 100);
    let cases: Vec<(&str, proto::NewEvent)> = vec![
        ("title", proto::NewEvent { title: " ".into(), ..good() }),
        ("starts_at", proto::NewEvent { starts_at: None, ..good() }),
        ("starts_at", proto::NewEvent { starts_at: Some(LATEST), ..good() }),
        ("ends_at", proto::NewEvent { ends_at: world.at(99), ..good() }),
        ("doors_at", proto::NewEvent { doors_at: world.at(101), ..good() }),
        ("sale_starts_at", proto::NewEvent { sale_starts_at: world.at(101), ..good() }),
        ("sale_ends_at", proto::NewEvent { sale_ends_at: world.at(104), ..good() }),
        ("per_customer_limit", proto::NewEvent { per_customer_limit: 101, ..good() }),
        ("currency", proto::NewEvent { currency: "EURO".into(), ..good() }),
        ("prices.0.amount_minor", proto::NewEvent { prices: vec![price("A", -1)], ..good() }),
        ("prices.0.category", proto::NewEvent { prices: vec![price("C", 1)], ..good() }),
        ("prices.0.area_id", proto::NewEvent { prices: vec![price_of_area("Floor", 1)], ..good() }),
        ("prices.0.seat_id", proto::NewEvent { prices: vec![price_of_seat(&plan.id, 1)], ..good() }),
        ("seating_plan_id", proto::NewEvent { venue_id: elsewhere, ..good() }),
    ];
    for (field, event) in cases {
        assert_eq!(refusal(world.create(event).await), (Code::InvalidArgument, "INVALID_INPUT".into(), field.into()));
    }
    for (field, event) in [
        ("venue_id", proto::NewEvent { venue_id: "no id".into(), ..good() }),
        ("seating_plan_id", proto::NewEvent { seating_plan_id: EventId::new().to_string(), ..good() }),
    ] {
        assert_eq!(refusal(world.create(event).await), (Code::NotFound, "NOT_FOUND".into(), field.into()));
    }

    let unpriced = world.create(proto::NewEvent { prices: vec![price("A", 1)], ..good() }).await.unwrap();
    let status = world.publish(&unpriced.id).await.unwrap_err();
    assert_eq!(status.message(), "category \"B\" has no price");
    let past = world.create(world.event_on(&plan, "Long ago", -10)).await.unwrap();
    assert_eq!(refusal(world.publish(&past.id).await).2, "ends_at");
    assert_eq!(world.count("outbox").await, 0);
    assert_eq!(refusal(world.publish("no id").await).0, Code::NotFound);
}

async fn prices_count_only_what_is_for_sale(world: World) {
    let plan = world.theatre().await;
    let (_, rows) = world.plan(&plan.id).await.unwrap();
    let area = price_of_area(&plan.areas[0].id, 4_000);
    let backs = rows[1].seats.iter().map(|seat| price_of_seat(&seat.id, 4_500));
    let prices = [price("A", 5_000), price("B", 1), area].into_iter().chain(backs).collect();

    let event = world.create(proto::NewEvent { prices, ..world.event_on(&plan, "Hamlet", 100) }).await.unwrap();

    assert_eq!(event.prices.len(), 5);
    assert_eq!((event.price_min.unwrap().amount_minor, event.price_max.unwrap().amount_minor), (4_000, 5_000));
    world.publish(&event.id).await.unwrap();
    let (_, seats) = world.offer(&event.id, 1).await.unwrap();
    assert_eq!(seats.iter().map(|seat| seat.price_minor).collect::<Vec<_>>(), [5_000, 5_000, 5_000, 4_500, 4_500]);
}
