//! Area places: never more than there are, and given back exactly once.

use std::sync::Arc;

use booking::infrastructure::store::HoldOutcome;
use common::testing::{TestDb, everything};
use tokio::task::JoinSet;

use crate::world::{GRACE, HOLD, SECOND, World};

common::on_both_databases!(
    hundreds_of_parallel_buyers_never_oversell_an_area,
    lapsed_places_are_taken_back_when_the_counter_refuses,
    places_taken_from_a_lapsed_booking_are_not_given_back_again,
    more_lapsed_places_than_one_step_takes_back_are_taken_back_over_several_holds,
);

async fn hundreds_of_parallel_buyers_never_oversell_an_area(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let sale = world.sale(0, &[100]).await;
    let mut buyers = JoinSet::new();
    for n in 0..if everything() { 5_000 } else { 300_u32 } {
        let (world, sale) = (world.clone(), sale.clone());
        buyers.spawn(async move {
            let customer = format!("customer {n}");
            match world.hold(&sale, &customer, &[], &[n % 4 + 1]).await {
                HoldOutcome::Held(stored) if n % 3 == 0 => {
                    world.release(&customer, stored.booking.id).await.unwrap();
                }
                HoldOutcome::Held(stored) if n % 3 == 1 => {
                    world.pay(&customer, stored.booking.id).await.unwrap();
                    world.authorised(stored.booking.id, 1).await;
                }
                HoldOutcome::Held(_) | HoldOutcome::SoldOut(_) => {}
                other => panic!("neither held nor sold out: {other:?}"),
            }
        });
    }
    buyers.join_all().await;

    let places = world.store.availabilities(&[sale.event]).await.unwrap()[&sale.event];
    assert_eq!(places.total, 100);
    assert_eq!(i64::from(places.held + places.sold), world.taken(&sale, 0).await);
    assert!(places.sold > 0 && places.held + places.sold > 50, "{places:?}");
    world.audit().await;

    world.pass(HOLD + GRACE);
    world.sweep().await;
    let left = world.store.availabilities(&[sale.event]).await.unwrap()[&sale.event];
    assert_eq!((left.held, left.sold), (0, places.sold), "what was not bought is free again: free and sold make 100");
    assert_eq!(world.taken(&sale, 0).await, i64::from(places.sold));
    world.audit().await;
}

async fn lapsed_places_are_taken_back_when_the_counter_refuses(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(0, &[5, 5]).await;
    let first = world.held(&sale, "alice", &[], &[3, 1]).await;
    let sold = world.confirmed(&sale, "bob", &[], &[2, 0]).await;
    world.pass(HOLD);

    let too_many = world.hold(&sale, "carol", &[], &[4, 0]).await;
    let second = world.held(&sale, "carol", &[], &[3, 0]).await;

    assert!(matches!(too_many, HoldOutcome::SoldOut(_)));
    assert_eq!((world.taken(&sale, 0).await, world.taken(&sale, 1).await), (5, 1));
    assert_eq!(world.sweep().await, 1);
    assert_eq!(world.state(first).await, "EXPIRED");
    assert_eq!((world.state(sold).await, world.state(second).await), ("CONFIRMED", "HELD"));
    assert_eq!((world.taken(&sale, 0).await, world.taken(&sale, 1).await), (5, 0));
    world.audit().await;
}

async fn places_taken_from_a_lapsed_booking_are_not_given_back_again(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[2]).await;
    let first = world.held(&sale, "alice", &[0], &[2]).await;
    world.pay("alice", first).await.unwrap();
    world.pass(HOLD + GRACE);
    let second = world.held(&sale, "bob", &[], &[2]).await;

    world.sweep().await;
    world.declined(first, 1).await;

    assert_eq!((world.state(first).await, world.state(second).await), ("EXPIRED", "HELD"));
    assert_eq!(world.taken(&sale, 0).await, 2);
    world.release("bob", second).await.unwrap();
    assert_eq!(world.taken(&sale, 0).await, 0);
    world.audit().await;
}

async fn more_lapsed_places_than_one_step_takes_back_are_taken_back_over_several_holds(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(0, &[250]).await;
    for n in 0..250 {
        world.held(&sale, &format!("customer {n}"), &[], &[1]).await;
    }
    world.pass(HOLD + SECOND);

    for customer in ["alice", "bob"] {
        world.held(&sale, customer, &[], &[100]).await;
    }

    assert_eq!(world.taken(&sale, 0).await, 250);
    world.held(&sale, "carol", &[], &[50]).await;
    assert!(matches!(world.hold(&sale, "dave", &[], &[1]).await, HoldOutcome::SoldOut(_)));
    world.sweep().await;
    world.audit().await;
}
