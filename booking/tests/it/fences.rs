//! Fences: once others have a lapsed booking's seats, nothing that still comes for it touches them, in whatever order.

use booking::domain::booking::CommandError;
use booking::infrastructure::store::TransitionError;
use common::ids::BookingId;
use common::testing::{TestDb, everything};

use crate::sale::Sale;
use crate::world::{GRACE, HOLD, World};

common::on_both_databases!(
    late_news_of_a_lapsed_hold_touches_nothing_of_the_next,
    late_news_of_a_lapsed_payment_touches_nothing_of_the_next,
    the_same_customer_taking_the_seats_again_keeps_them,
);

#[derive(Clone, Copy, Debug)]
enum Late {
    Release,
    Cancel,
    Sweep,
    Declined,
    Authorised,
    CaptureFailed,
}

async fn comes(world: &World, booking: BookingId, late: Late) {
    let over = match late {
        Late::Release => world.release("alice", booking).await.map(|_| ()),
        Late::Cancel => world.cancel("alice", booking).await.map(|_| ()),
        Late::Sweep => {
            world.sweep().await;
            return;
        }
        Late::Declined => return world.declined(booking, 1).await,
        Late::Authorised => return world.authorised(booking, 1).await,
        Late::CaptureFailed => return world.capture_failed(booking, 1).await,
    };
    let expected =
        matches!(over, Err(TransitionError::Refused(CommandError::HoldExpired | CommandError::InvalidState { .. })));
    assert!(expected, "{late:?}: {over:?}");
}

/// Seats and places of the second booking, with fences.
async fn owned(world: &World, sale: &Sale, booking: BookingId) -> (i64, i64, i64) {
    let seats = "SELECT count(*) FROM seat_claims c JOIN bookings b ON b.id = c.booking_id AND b.fence = c.fence
        WHERE b.id = $1";
    let places = "SELECT coalesce(sum(quantity), 0) FROM area_claims c JOIN bookings b ON b.id = c.booking_id
        AND b.fence = c.fence WHERE b.id = $1";
    (
        world.count(seats, [booking.into()]).await,
        world.count(places, [booking.into()]).await,
        world.taken(sale, 0).await,
    )
}

const NEWS: [Late; 5] = [Late::Release, Late::Sweep, Late::Declined, Late::Authorised, Late::CaptureFailed];

/// Every order in which the news can come, a late cancellation last.
fn orders() -> Vec<Vec<Late>> {
    let mut orders = vec![vec![Late::Cancel]];
    for news in NEWS {
        let with = |order: Vec<Late>| {
            (0..order.len()).map(move |at| {
                let mut longer = order.clone();
                longer.insert(at, news);
                longer
            })
        };
        orders = orders.into_iter().flat_map(with).collect();
    }
    orders
}

async fn late_news_of_a_lapsed_hold_touches_nothing_of_the_next(db: TestDb) {
    late_news_touches_nothing(World::new(db).await, false).await;
}

async fn late_news_of_a_lapsed_payment_touches_nothing_of_the_next(db: TestDb) {
    late_news_touches_nothing(World::new(db).await, true).await;
}

async fn late_news_touches_nothing(world: World, paying: bool) {
    for (n, order) in orders().iter().enumerate() {
        let both = [false, true];
        // All of it doubles what is tried; else the orders take turns.
        for sold in if everything() { &both[..] } else { &both[n % 2..][..1] } {
            let sale = world.sale(3, &[3]).await;
            let first = world.held(&sale, "alice", &[0, 1], &[2]).await;
            if paying {
                world.pay("alice", first).await.unwrap();
            }
            world.pass(HOLD + GRACE);
            let second = if *sold {
                world.confirmed(&sale, "bob", &[1, 2], &[3]).await
            } else {
                world.held(&sale, "bob", &[1, 2], &[3]).await
            };
            let before = owned(&world, &sale, second).await;
            assert_eq!(before, (2, 3, 3));

            for late in order {
                comes(&world, first, *late).await;
                assert_eq!(owned(&world, &sale, second).await, before, "{late:?} of {order:?}");
            }

            assert_eq!(world.state(first).await, "EXPIRED", "{order:?}");
            assert!(world.claim(&sale, 0).await.is_none());
            world.audit().await;
        }
    }
}

async fn the_same_customer_taking_the_seats_again_keeps_them(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let first = world.held(&sale, "alice", &[0], &[]).await;
    world.pass(HOLD);
    let second = world.held(&sale, "alice", &[0], &[]).await;

    world.release("alice", first).await.unwrap_err();
    world.sweep().await;

    assert_eq!((world.state(first).await, world.state(second).await), ("EXPIRED", "HELD"));
    assert_eq!(world.claim(&sale, 0).await.unwrap().0, second);
    world.audit().await;
}
