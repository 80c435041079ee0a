//! Whole lives of seats: sold, cancelled, sold again; ended from several sides at once; and with every fact of payment told
//! several times, out of order and days late.

use std::sync::Arc;

use booking::application::saga::{CatalogFacts, PaymentFacts};
use booking::infrastructure::store::{HistoryPage, RefundState};
use chrono::Duration;
use common::money::Money;
use common::proto::catalog::v1::{EventCancelled, EventChanged, EventPublished};
use common::proto::payment::v1::{
    PaymentAuthorised, PaymentCaptureFailed, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentStuck,
    PaymentVoided,
};
use common::testing::untidy::{Draw, Producer, Telling};
use common::testing::{TestDb, everything};
use tokio::task::JoinSet;

use crate::sale::{SEAT_PRICE, Sale};
use crate::world::{GRACE, HOLD, World};

common::on_both_databases!(
    a_seat_is_sold_cancelled_resold_and_cancelled_again_with_every_count_right,
    of_two_cancellations_at_once_one_gives_the_seats_and_the_money_back,
    a_booking_that_ends_from_several_sides_at_once_gives_its_seats_back_once,
    facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end,
    catalogs_facts_told_again_and_again_call_an_event_off_once,
);

async fn a_seat_is_sold_cancelled_resold_and_cancelled_again_with_every_count_right(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[3]).await;

    let first = world.confirmed(&sale, "alice", &[0], &[2]).await;
    world.cancel("alice", first).await.unwrap();
    assert_eq!(counts(&world, &sale).await, (0, 0, 0));
    let second = world.confirmed(&sale, "bob", &[0], &[3]).await;
    assert_eq!(counts(&world, &sale).await, (1, 3, 4));
    world.cancel("bob", second).await.unwrap();
    let third = world.confirmed(&sale, "carol", &[0, 1], &[1]).await;
    world.refund(third, &[0], None).await.unwrap();
    assert_eq!(counts(&world, &sale).await, (1, 1, 2));
    world.refund(third, &[], None).await.unwrap();

    assert_eq!(counts(&world, &sale).await, (0, 0, 0));
    let rows = world.store.seat_history(sale.event, sale.seats[0], HistoryPage { after: 0, limit: 100 }).await.unwrap();
    let ends: Vec<_> = rows.iter().filter(|row| ["cancel", "refund"].contains(&row.cause.as_str())).collect();
    let ended: Vec<_> = ends.iter().map(|row| (row.booking_id, row.cause.as_str(), row.to.as_str())).collect();
    let expected = [(first, "cancel", "CANCELLED"), (second, "cancel", "CANCELLED"), (third, "refund", "CONFIRMED")];
    assert_eq!(ended, expected, "carol's seat ended with its refund, not with her booking");
    assert_eq!(rows.iter().filter(|row| row.from.is_empty()).count(), 3);
    world.audit().await;
}

/// Seat claims, places counted, and places sold as availability tells.
async fn counts(world: &World, sale: &Sale) -> (i64, i64, u32) {
    let seats = "SELECT count(*) FROM seat_claims WHERE event_id = $1";
    let told = world.store.availabilities(&[sale.event]).await.unwrap()[&sale.event];
    (world.count(seats, [sale.event.into()]).await, world.taken(sale, 0).await, told.sold)
}

async fn of_two_cancellations_at_once_one_gives_the_seats_and_the_money_back(db: TestDb) {
    let world = World::crowded(db, 4).await;
    let sale = world.sale(1, &[2]).await;
    for _ in 0..10 {
        let booking = world.confirmed(&sale, "alice", &[0], &[2]).await;

        let (first, second) = tokio::join!(world.cancel("alice", booking), world.cancel("alice", booking));

        assert_ne!(first.is_ok(), second.is_ok());
        assert_eq!(world.refunds(booking).await.len(), 1);
        assert_eq!(counts(&world, &sale).await, (0, 0, 0));
    }
    world.audit().await;
}

async fn a_booking_that_ends_from_several_sides_at_once_gives_its_seats_back_once(db: TestDb) {
    let world = Arc::new(World::crowded(db, 8).await);
    for n in 0..8 {
        let sale = world.sale(1, &[2]).await;
        let paying = world.held(&sale, "alice", &[0], &[2]).await;
        world.pay("alice", paying).await.unwrap();
        world.pass(HOLD + GRACE);
        if n % 2 == 1 {
            let told = EventCancelled { event_id: sale.event.to_string(), offer_version: 1 };
            world.catalog_told(sale.event, &told).await.unwrap();
        }
        let mut ends = JoinSet::new();
        for side in 0..6 {
            let world = world.clone();
            ends.spawn(async move {
                match side % 3 {
                    0 => drop(world.sweep().await),
                    1 => world.declined(paying, 1).await,
                    _ => drop(world.cancel("alice", paying).await),
                }
            });
        }
        ends.join_all().await;
        world.sweep().await;

        assert!(["EXPIRED", "CANCELLED"].contains(&world.state(paying).await));
        let ended = world.facts(paying).await.split_off(2);
        assert_eq!(ended.len(), 1, "told to have ended once: {ended:?}");
        assert_eq!(counts(&world, &sale).await, (0, 0, 0));
        world.audit().await;
    }
}

/// What is left of a life: state, facts told, valid tickets, refunds, and who has the seat.
type End = (&'static str, Vec<String>, usize, Vec<i64>, Option<String>);

/// What becomes of a payment that was authorised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    /// Captured; a refund is done.
    Captured,
    /// Captured; a refund is stuck, and done in the end. When it came too late, the void is.
    Stuck,
    /// It cannot be captured.
    CaptureFails,
}

/// A decline, another attempt that is approved `late`, what becomes of it and of a refund, each told as `telling` says.
async fn life(world: &World, telling: Telling, course: Course, late: Duration, taken: bool) -> End {
    let sale = world.sale(2, &[]).await;
    let booking = world.held(&sale, "alice", &[0, 1], &[]).await;
    let payment = Producer::of(booking.0, telling);
    let handler = Arc::new(PaymentFacts::new(world.store.clone()));
    let taker = payment.told_to(&world.db, "booking", ("payment", "eventix.payment.v1"), handler);
    let arrives = async |later: Duration| {
        world.pass(later);
        taker.takes_all().await;
    };
    let (booking_id, total) = (booking.to_string(), world.find(booking).await.booking.total);
    world.pay("alice", booking).await.unwrap();
    payment.tells(&PaymentDeclined { booking_id: booking_id.clone(), attempt: 1, decline_code: "NO".into() });
    arrives(Duration::minutes(1)).await;
    world.pay("alice", booking).await.unwrap();
    payment.tells(&PaymentAuthorised { booking_id: booking_id.clone(), attempt: 2, amount: Some(total.into()) });
    if taken {
        world.pass(late);
        world.held(&sale, "bob", &[0], &[]).await;
        arrives(Duration::zero()).await;
    } else {
        arrives(late).await;
    }
    if world.state(booking).await != "CONFIRMED" {
        if course == Course::Stuck {
            let (step, reason) = ("void".to_owned(), "CLOSED".to_owned());
            payment.tells(&PaymentStuck { booking_id: booking_id.clone(), step, refund_id: String::new(), reason });
        }
        payment.tells(&PaymentVoided { booking_id, attempt: 2 });
    } else if course == Course::CaptureFails {
        payment.tells(&PaymentCaptureFailed { booking_id, attempt: 2, code: "CARD_EXPIRED".into() });
    } else {
        let refund = world.refund(booking, &[1], None).await.unwrap().refunds.remove(0);
        let (refund_id, amount) = (refund.id.to_string(), Some(Money::into(refund.amount)));
        payment.tells(&PaymentCaptured { booking_id: booking_id.clone(), attempt: 2, amount: Some(total.into()) });
        if course == Course::Stuck {
            let (step, reason) = ("refund".to_owned(), "CLOSED".to_owned());
            payment.tells(&PaymentStuck { booking_id: booking_id.clone(), step, refund_id: refund_id.clone(), reason });
            arrives(Duration::hours(1)).await;
            assert_eq!(world.find(booking).await.refunds[0].state, RefundState::Stuck);
        }
        payment.tells(&PaymentRefunded { booking_id, refund_id, amount });
    }
    arrives(Duration::hours(72)).await;

    let stored = world.find(booking).await;
    let valid = stored.tickets.iter().filter(|ticket| !ticket.void).count();
    let owner = match world.claim(&sale, 0).await {
        Some((owner, ..)) if owner == booking => Some("alice".to_owned()),
        Some(_) => Some("bob".to_owned()),
        None => None,
    };
    assert!(stored.refunds.iter().all(|refund| refund.state == RefundState::Done));
    (stored.booking.state.name(), world.facts(booking).await, valid, world.refunds(booking).await, owner)
}

async fn facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end(db: TestDb) {
    let world = World::new(db).await;
    let seeds = if everything() { 40 } else { 6 };
    let late = HOLD + GRACE + Duration::minutes(11);
    for (course, late, taken, state) in [
        (Course::Captured, Duration::zero(), false, "CONFIRMED"),
        (Course::Stuck, Duration::zero(), false, "CONFIRMED"),
        (Course::CaptureFails, Duration::zero(), false, "CANCELLED"),
        (Course::Captured, late, false, "CONFIRMED"),
        (Course::Captured, late, true, "EXPIRED"),
        (Course::Captured, Duration::hours(72), false, "EXPIRED"),
        (Course::Stuck, Duration::hours(72), false, "EXPIRED"),
    ] {
        let plain = life(&world, Telling::Plain, course, late, taken).await;
        assert_eq!(plain.0, state);
        let voids = plain.1.iter().filter(|fact| *fact == "VoidRequested").count();
        assert_eq!((plain.2, voids), (usize::from(state == "CONFIRMED"), usize::from(state == "EXPIRED")));
        assert_eq!(plain.3, if state == "CONFIRMED" { vec![SEAT_PRICE] } else { vec![] });
        for seed in 1..=seeds {
            let noisy = life(&world, Telling::Noisy(seed), course, late, taken).await;
            assert_eq!(noisy, plain, "seed {seed}, {course:?}, {late} late, taken {taken}");
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM dead_letters", []).await, 0);
    world.sweep().await;
    world.audit().await;
}

/// What is left of an event: its offer, its mark, its bookings and what they count for.
#[derive(Debug, PartialEq, Eq)]
struct CalledOff {
    offer_version: i64,
    cancelled: bool,
    bookings: Vec<(&'static str, Vec<String>, Vec<i64>)>,
    counts: (i64, i64, u32),
}

/// An event that is published, changed twice and called off under two bookings and a hold. Told noisily, it is up to 72
/// hours late each time.
async fn called_off(world: &World, telling: Telling) -> CalledOff {
    let sale = world.sale(3, &[2]).await;
    let bookings = [world.confirmed(&sale, "alice", &[0], &[2]).await, world.confirmed(&sale, "bob", &[1], &[]).await];
    world.held(&sale, "carol", &[2], &[]).await;
    let catalog = Producer::of(sale.event.0, telling);
    let handler = Arc::new(CatalogFacts::new(world.store.clone(), world.offers.clone()));
    let taker = catalog.told_to(&world.db, "booking", ("catalog", "eventix.catalog.v1"), handler);
    let mut late = match telling {
        Telling::Plain => None,
        Telling::Noisy(seed) => Some(Draw::of(seed)),
    };
    let mut arrives = async || {
        let hours = late.as_mut().map_or(0, |draw| draw.below(73));
        world.pass(Duration::hours(i64::try_from(hours).unwrap()));
        taker.takes_all().await;
        for (event, version) in world.store.wanted_offers().await.unwrap() {
            world.offers.at_least(event, version).await.unwrap();
        }
        while world.sweep().await > 0 {}
    };
    let event_id = sale.event.to_string();

    world.catalog.offer(&Sale { version: 2, ..sale.clone() });
    catalog.tells(&EventPublished { event_id: event_id.clone(), offer_version: 1 });
    catalog.tells(&EventChanged { event_id: event_id.clone(), offer_version: 2 });
    arrives().await;
    world.catalog.offer(&Sale { version: 3, cancelled: true, ..sale.clone() });
    catalog.tells(&EventChanged { event_id: event_id.clone(), offer_version: 3 });
    catalog.tells(&EventCancelled { event_id, offer_version: 3 });
    arrives().await;
    // And all of it once more, when everything is over.
    arrives().await;

    let marked = "SELECT count(*) FROM events WHERE event_id = $1 AND cancelled_at IS NOT NULL";
    let mut ends = Vec::new();
    for booking in bookings {
        ends.push((world.state(booking).await, world.facts(booking).await, world.refunds(booking).await));
    }
    CalledOff {
        offer_version: world.store.known_event(sale.event).await.unwrap().unwrap().offer_version,
        cancelled: world.count(marked, [sale.event.into()]).await == 1,
        bookings: ends,
        counts: counts(world, &sale).await,
    }
}

async fn catalogs_facts_told_again_and_again_call_an_event_off_once(db: TestDb) {
    let world = World::new(db).await;
    let plain = called_off(&world, Telling::Plain).await;
    assert_eq!((plain.offer_version, plain.cancelled, plain.counts), (3, true, (0, 0, 0)));
    for (state, facts, refunds) in &plain.bookings {
        assert_eq!((*state, refunds.len()), ("CANCELLED", 1));
        assert_eq!(facts.iter().filter(|fact| *fact == "RefundRequested").count(), 1);
    }
    for seed in 1..=if everything() { 40 } else { 6 } {
        assert_eq!(called_off(&world, Telling::Noisy(seed)).await, plain, "seed {seed}");
    }
    assert_eq!(world.count("SELECT count(*) FROM dead_letters", []).await, 0);
    world.audit().await;
}
