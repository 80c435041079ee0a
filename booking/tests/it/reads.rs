//! Reads: lapsed holds read EXPIRED and their seats free, whether or not a sweeper has come by.

use booking::domain::offer::Offer;
use booking::infrastructure::store::{Availability, Listing};
use booking::infrastructure::wire;
use common::ids::{BookingId, EventId};
use common::proto::booking::v1::BookingState;
use common::testing::TestDb;

use crate::world::{GRACE, HOLD, SECOND, World};

common::on_both_databases!(
    a_lapsed_hold_reads_expired_before_any_sweeper,
    availability_and_seat_states_follow_the_plan_and_the_clock,
    a_customers_bookings_are_listed_newest_first_page_by_page,
    an_events_bookings_are_listed_by_the_state_that_reads_show,
);

async fn told_state(world: &World, booking: BookingId) -> BookingState {
    let shown = wire::booking(&world.find(booking).await, world.now().await);
    let running = matches!(shown.state(), BookingState::Held | BookingState::Paying);
    assert_eq!(shown.expires_at.is_some(), running);
    shown.state()
}

async fn a_lapsed_hold_reads_expired_before_any_sweeper(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let held = world.held(&sale, "alice", &[0], &[]).await;
    let paying = world.held(&sale, "alice", &[1], &[]).await;
    world.pay("alice", paying).await.unwrap();

    world.pass(HOLD - SECOND);
    assert_eq!(told_state(&world, held).await, BookingState::Held);
    world.pass(SECOND);
    assert_eq!(told_state(&world, held).await, BookingState::Expired);
    world.pass(GRACE);
    assert_eq!(told_state(&world, paying).await, BookingState::Paying);
    world.sweep().await;
    assert_eq!(told_state(&world, held).await, BookingState::Expired);
    assert_eq!(told_state(&world, paying).await, BookingState::Paying);
    assert!(world.store.find(BookingId::new()).await.unwrap().is_none());
}

async fn availability_and_seat_states_follow_the_plan_and_the_clock(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(6, &[10, 3]).await;
    let empty = world.sale(2, &[]).await;
    world.confirmed(&sale, "alice", &[4, 1], &[2]).await;
    let paying = world.held(&sale, "bob", &[3], &[0, 3]).await;
    world.pay("bob", paying).await.unwrap();
    world.held(&sale, "carol", &[0], &[1]).await;
    let places = async || world.store.availabilities(&[sale.event, empty.event, EventId::new()]).await.unwrap();
    let free = async || {
        let states = world.store.seat_states(sale.event).await.unwrap().unwrap();
        let offer: &Offer = &states.offer;
        assert_eq!(offer.seats.iter().map(|seat| seat.id).collect::<Vec<_>>(), sale.seats);
        assert_eq!(offer.terms.plan_id, sale.plan);
        (states.seats, sale.areas.iter().map(|(id, _)| states.areas[id]).collect::<Vec<_>>())
    };

    let before = places().await;
    assert_eq!(before[&sale.event], Availability { held: 6, sold: 4, total: 19 });
    assert_eq!(before[&empty.event], Availability { held: 0, sold: 0, total: 2 });
    assert_eq!(before.len(), 2);
    assert_eq!(free().await, (vec![1, 2, 0, 1, 2, 0], vec![7, 0]));

    world.pass(HOLD);
    assert_eq!(places().await[&sale.event], Availability { held: 4, sold: 4, total: 19 });
    assert_eq!(free().await, (vec![0, 2, 0, 1, 2, 0], vec![8, 0]));
    world.pass(GRACE);
    assert_eq!(places().await[&sale.event], Availability { held: 0, sold: 4, total: 19 });
    assert_eq!(free().await, (vec![0, 2, 0, 0, 2, 0], vec![8, 3]));
    assert!(world.store.seat_states(EventId::new()).await.unwrap().is_none());
    assert!(world.store.availabilities(&[]).await.unwrap().is_empty());
}

fn mine(customer: &str, limit: u32) -> Listing<'_> {
    Listing { customer: Some(customer), event: None, state: None, before: None, limit }
}

async fn listed(world: &World, listing: &Listing<'_>) -> Vec<BookingId> {
    world.store.list(listing).await.unwrap().into_iter().map(|stored| stored.booking.id).collect()
}

async fn a_customers_bookings_are_listed_newest_first_page_by_page(db: TestDb) {
    let world = World::new(db).await;
    let (one, two) = (world.sale(5, &[]).await, world.sale(5, &[]).await);
    let mut expected = Vec::new();
    for (sale, seat) in [(&one, 0), (&two, 0), (&one, 2), (&two, 2)] {
        expected.push(world.held(sale, "alice", &[seat], &[]).await);
        world.held(sale, "bob", &[seat + 1], &[]).await;
    }
    let sold = world.confirmed(&one, "alice", &[4], &[]).await;
    expected.push(sold);
    expected.reverse();

    let all = world.store.list(&mine("alice", 10)).await.unwrap();
    let first = listed(&world, &mine("alice", 2)).await;
    let second = listed(&world, &Listing { before: first.last().copied(), ..mine("alice", 2) }).await;
    let last = listed(&world, &Listing { before: second.last().copied(), ..mine("alice", 2) }).await;

    assert_eq!(all.iter().map(|stored| stored.booking.id).collect::<Vec<_>>(), expected);
    assert_eq!([first, second, last].concat(), expected);
    assert_eq!((all[0].tickets.len(), all[1].tickets.len()), (1, 0));
    assert!(all.iter().all(|stored| stored.booking.items.len() == 1));
    assert!(listed(&world, &mine("nobody", 10)).await.is_empty());
}

async fn an_events_bookings_are_listed_by_the_state_that_reads_show(db: TestDb) {
    let world = World::new(db).await;
    let (sale, other) = (world.sale(6, &[]).await, world.sale(1, &[]).await);
    world.held(&other, "alice", &[0], &[]).await;
    let swept = world.held(&sale, "alice", &[0], &[]).await;
    world.pass(HOLD);
    world.sweep().await;
    let lapsed = world.held(&sale, "bob", &[1], &[]).await;
    world.pass(HOLD);
    let held = world.held(&sale, "carol", &[2], &[]).await;
    let paying = world.held(&sale, "dave", &[3], &[]).await;
    world.pay("dave", paying).await.unwrap();
    let sold = world.confirmed(&sale, "eve", &[4], &[]).await;
    let released = world.held(&sale, "frank", &[5], &[]).await;
    world.release("frank", released).await.unwrap();

    for (state, expected) in [
        (None, vec![released, sold, paying, held, lapsed, swept]),
        (Some("HELD"), vec![held]),
        (Some("EXPIRED"), vec![lapsed, swept]),
        (Some("PAYING"), vec![paying]),
        (Some("CONFIRMED"), vec![sold]),
        (Some("RELEASED"), vec![released]),
        (Some("CANCELLED"), vec![]),
    ] {
        let listing = Listing { customer: None, event: Some(sale.event), state, before: None, limit: 10 };
        assert_eq!(listed(&world, &listing).await, expected, "{state:?}");
    }
}
