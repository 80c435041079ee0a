//! What the sweeper ends: lapsed holds, graces, and everything of a cancelled event.

use std::sync::Arc;
use std::time::Duration;

use booking::application::sweep;
use booking::domain::booking::{BookingState, CancelCause};
use common::proto::catalog::v1::EventCancelled;
use common::runtime::Shutdown;
use common::testing::TestDb;
use tokio::task::JoinSet;

use crate::sale::Sale;
use crate::world::{GRACE, HOLD, World};

common::on_both_databases!(
    a_cancelled_event_ends_its_bookings_and_refunds_what_was_sold,
    a_paying_booking_of_a_cancelled_event_ends_at_its_outcome,
    a_lapsed_hold_of_a_cancelled_event_stays_told_as_expired,
    a_booking_that_slips_in_while_its_event_is_cancelled_is_ended_too,
    two_sweepers_end_each_booking_once,
    a_booking_that_cannot_be_ended_does_not_keep_the_others,
    the_sweeper_runs_until_shutdown,
);

async fn cancel_event(world: &World, sale: &Sale) {
    let told = EventCancelled { event_id: sale.event.to_string(), offer_version: 1 };
    world.catalog_told(sale.event, &told).await.unwrap();
}

async fn a_cancelled_event_ends_its_bookings_and_refunds_what_was_sold(db: TestDb) {
    let world = World::new(db).await;
    let (sale, other) = (world.sale(3, &[4]).await, world.sale(1, &[]).await);
    let elsewhere = world.confirmed(&other, "alice", &[0], &[]).await;
    let held = world.held(&sale, "alice", &[0], &[1]).await;
    let sold = world.confirmed(&sale, "bob", &[1], &[2]).await;
    let released = world.held(&sale, "carol", &[2], &[]).await;
    world.release("carol", released).await.unwrap();

    cancel_event(&world, &sale).await;
    assert!(world.pay("alice", held).await.is_err());
    assert_eq!(world.sweep().await, 2);
    assert_eq!(world.sweep().await, 0);

    let cause = CancelCause::EventCancelled;
    assert_eq!(world.find(held).await.booking.state, BookingState::Cancelled { cause, sold: None });
    assert_eq!(world.find(sold).await.booking.state, BookingState::Cancelled { cause, sold: Some(1) });
    assert_eq!(world.facts(held).await[1..], ["BookingCancelled"]);
    assert_eq!(world.facts(sold).await[3..], ["BookingCancelled", "RefundRequested"]);
    assert_eq!((world.state(released).await, world.state(elsewhere).await), ("RELEASED", "CONFIRMED"));
    assert_eq!(world.taken(&sale, 0).await, 0);
    world.audit().await;
}

async fn a_paying_booking_of_a_cancelled_event_ends_at_its_outcome(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[]).await;
    let mut paying = Vec::new();
    for (seat, customer) in ["alice", "bob", "carol"].into_iter().enumerate() {
        let booking = world.held(&sale, customer, &[seat], &[]).await;
        world.pay(customer, booking).await.unwrap();
        paying.push(booking);
    }

    cancel_event(&world, &sale).await;
    assert_eq!(world.sweep().await, 0);
    world.authorised(paying[0], 1).await;
    world.declined(paying[1], 1).await;
    world.pass(HOLD + GRACE);
    world.sweep().await;
    assert_eq!(world.state(paying[2]).await, "PAYING");
    world.authorised(paying[2], 1).await;

    for (booking, facts) in paying.iter().zip([
        &["BookingCancelled", "VoidRequested"][..],
        &["BookingCancelled"],
        &["BookingCancelled", "VoidRequested"],
    ]) {
        assert_eq!(world.state(*booking).await, "CANCELLED");
        assert_eq!(world.facts(*booking).await[2..], *facts);
    }
    world.audit().await;
}

async fn a_lapsed_hold_of_a_cancelled_event_stays_told_as_expired(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pass(HOLD);
    cancel_event(&world, &sale).await;

    assert_eq!(sweep::end_of_cancelled(&world.store).await.unwrap(), 1);

    assert_eq!(world.facts(booking).await, ["BookingHeld", "BookingExpired"]);
    world.audit().await;
}

async fn a_booking_that_slips_in_while_its_event_is_cancelled_is_ended_too(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    cancel_event(&world, &sale).await;
    assert_eq!(world.sweep().await, 0);
    // As when the hold read the event's row just before it was marked.
    let clear = "UPDATE events SET cancelled_at = NULL";
    world.db.execute(world.db.writer(), clear, []).await.unwrap();
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    cancel_event(&world, &sale).await;

    assert_eq!(world.sweep().await, 1);

    assert_eq!(world.state(booking).await, "CANCELLED");
    world.audit().await;
}

async fn two_sweepers_end_each_booking_once(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let sale = world.sale(20, &[20]).await;
    for seat in 0..20 {
        world.held(&sale, "alice", &[seat], &[1]).await;
    }
    world.pass(HOLD);
    let mut sweepers = JoinSet::new();
    for _ in 0..4 {
        let world = world.clone();
        sweepers.spawn(async move { world.sweep().await });
    }

    assert_eq!(sweepers.join_all().await.into_iter().sum::<usize>(), 20);

    assert_eq!(world.taken(&sale, 0).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM seat_claims", []).await, 0);
    world.audit().await;
}

async fn a_booking_that_cannot_be_ended_does_not_keep_the_others(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let broken = world.confirmed(&sale, "alice", &[0], &[]).await;
    let sound = world.confirmed(&sale, "bob", &[1], &[]).await;
    let sql = "DELETE FROM tickets WHERE booking_id = $1";
    world.db.execute(world.db.writer(), sql, [broken.into()]).await.unwrap();
    cancel_event(&world, &sale).await;

    assert_eq!(world.sweep().await, 1);

    assert_eq!((world.state(broken).await, world.state(sound).await), ("CONFIRMED", "CANCELLED"));
    assert_eq!(world.claim(&sale, 0).await.unwrap().0, broken, "all or nothing");
}

async fn the_sweeper_runs_until_shutdown(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    let shutdown = Shutdown::new();
    let mut sweeper = JoinSet::new();
    sweeper.spawn(sweep::run(world.store.clone(), Duration::from_millis(20), shutdown.clone()));
    world.pass(HOLD);

    for _ in 0..500 {
        if world.state(booking).await == "EXPIRED" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    assert_eq!(world.state(booking).await, "EXPIRED");
    shutdown.cancel();
    assert!(sweeper.join_next().await.unwrap().unwrap().is_ok());
}
