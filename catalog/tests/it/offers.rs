//! Offers: frozen for ever.

use common::ids::EventId;
use common::proto::catalog::v1 as proto;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{World, price, price_of_area, refusal};

on_both_databases!(
    an_offer_stays_the_same_whatever_comes_after,
    an_offer_tells_where_its_seats_stand_and_whether_one_may_be_left_alone,
    what_was_never_offered_is_not_found,
    the_sale_starts_at_publication_unless_said_otherwise,
);

async fn an_offer_stays_the_same_whatever_comes_after(world: World) {
    let event = world.on_sale().await;
    let first = world.offer(&event.id, 1).await.unwrap();
    let area = first.0.areas[0].area_id.clone();
    let policy = proto::CancellationPolicy {
        brackets: vec![
            proto::CancellationBracket { hours_before: 24, percent: 50 },
            proto::CancellationBracket { hours_before: 72, percent: 100 },
        ],
        fee_minor: 150,
    };

    world.set_prices(&event.id, vec![price("A", 9), price("B", 8), price_of_area(&area, 7)]).await.unwrap();
    let update = proto::UpdateEventRequest {
        event_id: event.id.clone(),
        expected_version: event.version + 1,
        title: Some("Postponed Hamlet".into()),
        starts_at: world.at(200),
        ends_at: world.at(204),
        per_customer_limit: Some(2),
        cancellation_policy: Some(policy),
        ..Default::default()
    };
    world.update(update).await.unwrap();

    assert_eq!(world.offer(&event.id, 1).await.unwrap(), first);
    let (terms, seats) = world.offer(&event.id, 2).await.unwrap();
    assert_eq!((terms.title.as_str(), terms.areas[0].price_minor, seats[0].price_minor), ("Hamlet", 7, 9));
    let (terms, _) = world.offer(&event.id, 0).await.unwrap();
    assert_eq!((terms.version, terms.title.as_str(), terms.per_customer_limit), (3, "Postponed Hamlet", 2));
    assert_eq!((terms.starts_at, terms.sale_ends_at), (world.at(200), world.at(200)));
    assert_eq!(terms.cancellation_policy.unwrap().brackets[0].hours_before, 72);
    let asked: Vec<_> = world.booking.asked.lock().unwrap().iter().map(|(_, version)| *version).collect();
    assert_eq!(asked, [1, 2, 3], "booking is asked to hold each newer offer at once");

    world.cancel(&event.id).await.unwrap();
    assert_eq!(
        world.booking.stopped.lock().unwrap().as_slice(),
        std::slice::from_ref(&event.id),
        "booking is told at once"
    );
    let cancelled = world.offer(&event.id, 1).await.unwrap();
    assert_eq!(cancelled.0, proto::OfferTerms { cancelled: true, ..first.0 });
    assert_eq!(cancelled.1, first.1);
}

async fn an_offer_tells_where_its_seats_stand_and_whether_one_may_be_left_alone(world: World) {
    let event = world.on_sale().await;
    let rows: Vec<_> = world.rows_on_offer(&event.id).await.iter().map(|r| (r.zone_index, r.seat_count)).collect();
    let (terms, seats) = world.offer(&event.id, 1).await.unwrap();

    assert_eq!(rows, [(0, 3), (0, 2), (0, 0)]);
    assert_eq!((seats[0].x, seats[0].y, seats[0].accessible, seats[0].companion), (11.5, 22.0, false, false));
    assert!(!terms.forbid_orphan_seats && !event.forbid_orphan_seats);

    let strict = proto::UpdateEventRequest {
        event_id: event.id.clone(),
        expected_version: event.version,
        forbid_orphan_seats: Some(true),
        ..Default::default()
    };
    assert!(world.update(strict).await.unwrap().forbid_orphan_seats);
    assert!(world.offer(&event.id, 2).await.unwrap().0.forbid_orphan_seats);
    assert!(!world.offer(&event.id, 1).await.unwrap().0.forbid_orphan_seats);
    let plan = world.theatre().await;
    let draft = proto::NewEvent { forbid_orphan_seats: true, ..world.event_on(&plan, "Strict", 100) };
    assert!(world.create(draft).await.unwrap().forbid_orphan_seats);
}

async fn what_was_never_offered_is_not_found(world: World) {
    let event = world.on_sale().await;
    let plan = world.theatre().await;
    let draft = world.create(world.event_on(&plan, "Draft", 100)).await.unwrap();
    let unknown = EventId::new().to_string();

    for (id, version) in
        [(&event.id, 2), (&event.id, u64::MAX), (&draft.id, 0), (&draft.id, 1), (&unknown, 0), (&"x".into(), 0)]
    {
        assert_eq!(refusal(world.offer(id, version).await), (Code::NotFound, "NOT_FOUND".into(), String::new()));
    }
    world.cancel(&draft.id).await.unwrap();
    assert_eq!(refusal(world.offer(&draft.id, 0).await).0, Code::NotFound);
}

async fn the_sale_starts_at_publication_unless_said_otherwise(world: World) {
    let plan = world.theatre().await;
    let now = world.create(world.event_on(&plan, "Now", 100)).await.unwrap();
    let window = proto::NewEvent {
        sale_starts_at: world.at(50),
        sale_ends_at: world.at(90),
        ..world.event_on(&plan, "Later", 100)
    };
    let later = world.create(window).await.unwrap();

    world.pass_until(10);
    world.publish(&now.id).await.unwrap();
    world.publish(&later.id).await.unwrap();

    let (terms, _) = world.offer(&now.id, 1).await.unwrap();
    assert_eq!((terms.sale_starts_at, terms.sale_ends_at), (world.at(10), world.at(100)));
    let (terms, _) = world.offer(&later.id, 1).await.unwrap();
    assert_eq!((terms.sale_starts_at, terms.sale_ends_at), (world.at(50), world.at(90)));
}
