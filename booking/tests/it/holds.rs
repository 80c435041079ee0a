//! Holds: all or nothing, each seat once, limits counted one after the other.

use std::collections::HashSet;
use std::sync::Arc;

use booking::infrastructure::store::{HoldOrder, HoldOutcome};
use chrono::Duration;
use common::testing::TestDb;
use tokio::task::JoinSet;

use crate::world::{HOLD, SECOND, World, encode};

common::on_both_databases!(
    a_hold_takes_all_it_names_or_nothing,
    many_overlapping_holds_sell_each_seat_once_and_losers_learn_which_are_lost,
    parallel_holds_of_one_customer_never_exceed_the_limit,
    lapsed_released_and_cancelled_places_no_longer_count_against_the_limit,
    a_list_of_holds_answers_each_by_itself,
    a_list_without_conflicts_is_held_as_a_whole,
    the_sale_window_is_the_databases_time,
    a_lapsed_seat_can_be_held_at_once_without_any_sweeper,
);

async fn a_hold_takes_all_it_names_or_nothing(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(4, &[10]).await;
    let first = world.held(&sale, "alice", &[1], &[]).await;

    let overlapping = world.hold(&sale, "bob", &[0, 1, 2], &[3]).await;
    let too_many = world.hold(&sale, "bob", &[0, 2], &[11]).await;

    assert!(matches!(overlapping, HoldOutcome::SeatsTaken(lost) if lost == [sale.seats[1]]));
    assert!(matches!(too_many, HoldOutcome::SoldOut(area) if area == sale.areas[0].0));
    assert_eq!(world.claim(&sale, 1).await.unwrap().0, first);
    assert!(world.claim(&sale, 0).await.is_none() && world.claim(&sale, 2).await.is_none());
    assert_eq!(world.taken(&sale, 0).await, 0);
    assert_eq!(world.count("SELECT count(*) FROM bookings", []).await, 1);
    assert_eq!(world.facts(first).await, ["BookingHeld"]);
    world.audit().await;
}

async fn many_overlapping_holds_sell_each_seat_once_and_losers_learn_which_are_lost(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let sale = world.sale(12, &[]).await;
    let mut buyers = JoinSet::new();
    for n in 0..60_usize {
        let (world, sale) = (world.clone(), sale.clone());
        let mut seats = vec![n % 12, (n * 5 + 3) % 12, (n * 7 + 1) % 12];
        seats.sort_unstable();
        seats.dedup();
        if n % 2 == 0 {
            seats.reverse();
        }
        buyers.spawn(async move {
            let wished: HashSet<_> = seats.iter().map(|at| sale.seats[*at]).collect();
            (wished, world.hold(&sale, &format!("customer {n}"), &seats, &[]).await)
        });
    }

    let mut sold = HashSet::new();
    let mut refused = Vec::new();
    for (wished, outcome) in buyers.join_all().await {
        match outcome {
            HoldOutcome::Held(_) => assert!(wished.into_iter().all(|seat| sold.insert(seat)), "a seat was sold twice"),
            HoldOutcome::SeatsTaken(lost) => refused.push((wished, lost)),
            other => panic!("neither held nor taken: {other:?}"),
        }
    }

    assert!(!sold.is_empty() && !refused.is_empty());
    for (wished, lost) in refused {
        assert!(!lost.is_empty() && lost.iter().all(|seat| wished.contains(seat)), "names seats it did not ask for");
    }
    let claimed = world.count("SELECT count(*) FROM seat_claims", []).await;
    assert_eq!(usize::try_from(claimed).unwrap(), sold.len());
    world.audit().await;
}

async fn parallel_holds_of_one_customer_never_exceed_the_limit(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let mut sale = world.sale(40, &[]).await;
    (sale.limit, sale.version) = (6, 2);
    world.put(&sale).await;
    let mut holds = JoinSet::new();
    for n in 0..20 {
        let (world, sale) = (world.clone(), sale.clone());
        holds.spawn(async move { world.hold(&sale, "alice", &[2 * n, 2 * n + 1], &[]).await });
    }

    let outcomes = holds.join_all().await;

    let held = outcomes.iter().filter(|o| matches!(o, HoldOutcome::Held(_))).count();
    let refused = outcomes.iter().filter(|o| matches!(o, HoldOutcome::LimitExceeded { live: 6, limit: 6 })).count();
    assert_eq!((held, refused), (3, 17), "{outcomes:?}");
    assert!(matches!(world.hold(&sale, "bob", &[39], &[]).await, HoldOutcome::Held(_)));
    world.audit().await;
}

async fn lapsed_released_and_cancelled_places_no_longer_count_against_the_limit(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = world.sale(8, &[10]).await;
    (sale.limit, sale.version) = (2, 2);
    world.put(&sale).await;
    let first = world.held(&sale, "alice", &[0], &[1]).await;
    assert!(matches!(world.hold(&sale, "alice", &[1], &[]).await, HoldOutcome::LimitExceeded { live: 2, limit: 2 }));

    world.release("alice", first).await.unwrap();
    let second = world.confirmed(&sale, "alice", &[1, 2], &[]).await;
    assert!(matches!(world.hold(&sale, "alice", &[3], &[]).await, HoldOutcome::LimitExceeded { live: 2, .. }));
    world.cancel("alice", second).await.unwrap();
    world.held(&sale, "alice", &[3, 4], &[]).await;
    world.pass(HOLD);
    world.held(&sale, "alice", &[5, 6], &[]).await;

    world.audit().await;
}

async fn a_list_of_holds_answers_each_by_itself(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = world.sale(8, &[3]).await;
    (sale.limit, sale.version) = (4, 2);
    world.put(&sale).await;
    world.held(&sale, "early", &[0], &[]).await;
    let before = world.key("again", "hold");
    let again = || HoldOrder { key: before.clone(), order: sale.order("again", &[1], &[]) };
    world.store.hold(sale.event, &[again()], &encode).await.unwrap();
    let order = |customer: &str, seats: &[usize], places: &[u32]| HoldOrder {
        key: world.key(customer, "hold"),
        order: sale.order(customer, seats, places),
    };
    let mut stale = order("stale", &[7], &[]);
    stale.order.offer_version = 1;
    let orders = [
        order("alice", &[2, 3], &[]),
        order("bob", &[3, 4], &[]),
        order("carol", &[0], &[]),
        again(),
        order("dave", &[], &[2]),
        order("eve", &[5], &[2]),
        order("frank", &[4, 5, 6], &[1]),
        order("greedy", &[7], &[4]),
        stale,
    ];

    let outcomes = world.store.hold(sale.event, &orders, &encode).await.unwrap();

    let seats = &sale.seats;
    assert!(matches!(outcomes[0], HoldOutcome::Held(_)));
    assert!(matches!(&outcomes[1], HoldOutcome::SeatsTaken(lost) if *lost == [seats[3]]));
    assert!(matches!(&outcomes[2], HoldOutcome::SeatsTaken(lost) if *lost == [seats[0]]));
    assert!(matches!(&outcomes[3], HoldOutcome::Replayed(_)));
    assert!(matches!(outcomes[4], HoldOutcome::Held(_)));
    assert!(matches!(outcomes[5], HoldOutcome::SoldOut(_)));
    assert!(matches!(outcomes[6], HoldOutcome::Held(_)));
    assert!(matches!(outcomes[7], HoldOutcome::LimitExceeded { live: 0, limit: 4 }));
    assert!(matches!(outcomes[8], HoldOutcome::OtherOffer(2)));
    assert_eq!(world.taken(&sale, 0).await, 3);
    world.audit().await;
}

async fn a_list_without_conflicts_is_held_as_a_whole(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(6, &[5]).await;
    let order = |customer: &str, seats: &[usize], places: &[u32]| HoldOrder {
        key: world.key(customer, "hold"),
        order: sale.order(customer, seats, places),
    };
    let orders = [
        order("carol", &[5, 4], &[1]),
        order("alice", &[0, 1], &[]),
        order("bob", &[], &[2]),
        order("alice", &[2], &[]),
    ];

    let outcomes = world.store.hold(sale.event, &orders, &encode).await.unwrap();

    let fences: HashSet<i64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            HoldOutcome::Held(stored) => stored.booking.fence,
            other => panic!("not held: {other:?}"),
        })
        .collect();
    assert_eq!(fences.len(), 1, "one transaction for all of them");
    world.audit().await;
}

async fn the_sale_window_is_the_databases_time(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = world.sale(2, &[]).await;
    let now = world.now().await;
    (sale.sale_starts_at, sale.sale_ends_at) = (now + Duration::hours(1), now + Duration::hours(2));
    sale.version = 2;
    world.put(&sale).await;

    let early = world.hold(&sale, "alice", &[0], &[]).await;
    world.pass(Duration::hours(1));
    let open = world.hold(&sale, "alice", &[0], &[]).await;
    world.pass(Duration::hours(1));
    let late = world.hold(&sale, "alice", &[1], &[]).await;

    assert!(matches!(early, HoldOutcome::NotOnSale("the sale has not started")));
    assert!(matches!(open, HoldOutcome::Held(_)));
    assert!(matches!(late, HoldOutcome::NotOnSale("the sale is over")));
}

async fn a_lapsed_seat_can_be_held_at_once_without_any_sweeper(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let first = world.held(&sale, "alice", &[0, 1], &[]).await;

    world.pass(HOLD - SECOND);
    let early = world.hold(&sale, "bob", &[1], &[]).await;
    world.pass(SECOND);
    let second = world.held(&sale, "bob", &[1], &[]).await;

    assert!(matches!(early, HoldOutcome::SeatsTaken(lost) if lost == [sale.seats[1]]));
    assert_eq!(world.claim(&sale, 1).await.unwrap().0, second);
    assert_eq!(world.sweep().await, 1);
    assert_eq!(world.state(first).await, "EXPIRED");
    assert!(world.claim(&sale, 0).await.is_none());
    assert_eq!(world.claim(&sale, 1).await.unwrap().0, second);
    world.audit().await;
}
