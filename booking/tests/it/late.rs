//! Authorisations that come after the grace: all seats again, or none and the money goes.

use chrono::Duration;
use common::testing::TestDb;

use crate::world::{GRACE, HOLD, SECOND, World};

common::on_both_databases!(
    a_late_authorisation_takes_its_free_seats_again,
    a_late_authorisation_before_the_sweeper_came_by_takes_its_lapsed_seats_again,
    a_late_authorisation_with_one_seat_gone_lets_the_money_go_and_touches_nothing_of_the_other,
    a_late_authorisation_with_an_area_sold_out_takes_nothing_back,
    a_late_authorisation_may_use_places_that_lapsed_meanwhile,
    an_authorisation_later_than_a_day_lets_the_money_go,
    an_authorisation_after_the_events_start_lets_the_money_go,
);

async fn a_late_authorisation_takes_its_free_seats_again(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[4]).await;
    let booking = world.held(&sale, "alice", &[2, 0], &[3]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE);
    assert_eq!(world.sweep().await, 1);
    assert_eq!(world.state(booking).await, "PAYING");
    assert!(world.claim(&sale, 0).await.is_none());
    assert_eq!(world.taken(&sale, 0).await, 0);
    assert_eq!(world.sweep().await, 0, "a grace ends once");
    world.audit().await;

    world.pass(Duration::hours(23));
    world.authorised(booking, 1).await;

    assert_eq!(world.state(booking).await, "CONFIRMED");
    assert_eq!(world.claim(&sale, 2).await.unwrap().0, booking);
    assert_eq!(world.taken(&sale, 0).await, 3);
    assert_eq!(world.facts(booking).await[2..], ["BookingConfirmed"]);
    world.audit().await;
}

async fn a_late_authorisation_before_the_sweeper_came_by_takes_its_lapsed_seats_again(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[4]).await;
    let booking = world.held(&sale, "alice", &[0, 1], &[4]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE);

    world.authorised(booking, 1).await;

    assert_eq!(world.state(booking).await, "CONFIRMED");
    assert_eq!(world.taken(&sale, 0).await, 4);
    assert_eq!(world.sweep().await, 0);
    world.audit().await;
}

async fn a_late_authorisation_with_one_seat_gone_lets_the_money_go_and_touches_nothing_of_the_other(db: TestDb) {
    let world = World::new(db).await;
    late_with_one_seat_gone(&world, false).await;
    late_with_one_seat_gone(&world, true).await;
}

async fn late_with_one_seat_gone(world: &World, swept: bool) {
    let sale = world.sale(3, &[4]).await;
    let booking = world.held(&sale, "alice", &[0, 1, 2], &[1]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE);
    if swept {
        world.sweep().await;
    }
    let other = world.held(&sale, "bob", &[1], &[1]).await;
    let (claim, stored) = (world.claim(&sale, 1).await, world.find(other).await.booking);

    world.authorised(booking, 1).await;

    assert_eq!(world.state(booking).await, "EXPIRED");
    assert_eq!(world.facts(booking).await[2..], ["BookingExpired", "VoidRequested"]);
    assert_eq!(world.claim(&sale, 1).await, claim);
    assert_eq!(world.find(other).await.booking, stored);
    assert!(world.claim(&sale, 0).await.is_none() && world.claim(&sale, 2).await.is_none());
    assert_eq!(world.taken(&sale, 0).await, 1);
    world.audit().await;
}

async fn a_late_authorisation_with_an_area_sold_out_takes_nothing_back(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[2, 2]).await;
    let booking = world.held(&sale, "alice", &[0, 1], &[1, 2]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE);
    let other = world.confirmed(&sale, "bob", &[], &[0, 1]).await;

    world.authorised(booking, 1).await;

    assert_eq!(world.facts(booking).await[2..], ["BookingExpired", "VoidRequested"]);
    assert!(world.claim(&sale, 0).await.is_none());
    assert_eq!((world.taken(&sale, 0).await, world.taken(&sale, 1).await), (0, 1));
    assert_eq!(world.state(other).await, "CONFIRMED");
    world.audit().await;
}

async fn a_late_authorisation_may_use_places_that_lapsed_meanwhile(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[2]).await;
    let booking = world.held(&sale, "alice", &[0], &[2]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE);
    world.sweep().await;
    let other = world.held(&sale, "bob", &[0], &[1]).await;
    world.pass(HOLD);

    world.authorised(booking, 1).await;

    assert_eq!(world.state(booking).await, "CONFIRMED");
    assert_eq!(world.taken(&sale, 0).await, 2);
    world.sweep().await;
    assert_eq!(world.state(other).await, "EXPIRED");
    assert_eq!(world.claim(&sale, 0).await.unwrap().0, booking);
    world.audit().await;
}

async fn an_authorisation_later_than_a_day_lets_the_money_go(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE + Duration::hours(24) + SECOND);

    world.authorised(booking, 1).await;

    assert_eq!(world.facts(booking).await[2..], ["BookingExpired", "VoidRequested"]);
    assert!(world.claim(&sale, 0).await.is_none());
    world.audit().await;
}

async fn an_authorisation_after_the_events_start_lets_the_money_go(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = world.sale(1, &[]).await;
    (sale.starts_at, sale.version) = (world.now().await + HOLD + GRACE, 2);
    world.put(&sale).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD + GRACE + SECOND);

    world.authorised(booking, 1).await;

    assert_eq!(world.facts(booking).await[2..], ["BookingExpired", "VoidRequested"]);
    world.audit().await;
}
