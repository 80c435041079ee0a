//! The orphan rule for seats picked by hand, where an event switches it on.

use booking::application::hold::Answer;
use booking::infrastructure::store::HoldOutcome;
use common::error::Refusal;
use common::testing::TestDb;

use crate::sale::Sale;
use crate::world::{HOLD, World};

common::on_both_databases!(
    a_pick_that_leaves_a_seat_alone_is_refused_and_names_it,
    what_is_taken_decides_what_is_left_alone,
    without_the_rule_anything_goes,
    a_pick_that_was_held_stays_answered,
);

async fn strict(world: &World, rows: &[u32]) -> Sale {
    let seats: u32 = rows.iter().sum();
    let sale = Sale { forbid_orphan_seats: true, ..Sale::new(world.now().await, seats as usize, &[]).in_rows(rows) };
    world.put(&sale).await;
    sale
}

async fn picked(world: &World, sale: &Sale, seats: &[usize]) -> Result<(), (String, String)> {
    let answer = world.pick(sale, "alice", seats, world.key("alice", "hold")).await;
    answer.map(|_| ()).map_err(|e| (e.reason().to_owned(), e.metadata().get("seat_ids").cloned().unwrap_or_default()))
}

async fn a_pick_that_leaves_a_seat_alone_is_refused_and_names_it(db: TestDb) {
    let world = World::new(db).await;
    let sale = strict(&world, &[6, 6]).await;
    let orphans = |seats: &[usize]| {
        let ids: Vec<String> = seats.iter().map(|at| sale.seats[*at].to_string()).collect();
        Err(("ORPHAN_SEAT".to_owned(), ids.join(",")))
    };

    assert_eq!(picked(&world, &sale, &[1, 2]).await, orphans(&[0]));
    assert_eq!(picked(&world, &sale, &[4, 3]).await, orphans(&[5]));
    assert_eq!(picked(&world, &sale, &[1, 7]).await, orphans(&[0, 6]));
    assert_eq!(picked(&world, &sale, &[2, 3]).await, Ok(()));
    world.audit().await;
}

async fn what_is_taken_decides_what_is_left_alone(db: TestDb) {
    let world = World::new(db).await;
    let sale = strict(&world, &[6]).await;
    world.held(&sale, "bob", &[3], &[]).await;

    assert!(picked(&world, &sale, &[4]).await.is_err(), "of seats 0 to 2 one can be had that leaves none alone");
    assert_eq!(picked(&world, &sale, &[3, 4]).await.unwrap_err().0, "SEATS_TAKEN");
    assert_eq!(picked(&world, &sale, &[2]).await, Ok(()));
    assert_eq!(picked(&world, &sale, &[4]).await, Ok(()), "now every choice of one leaves one alone");
    world.pass(HOLD);
    assert!(picked(&world, &sale, &[1]).await.is_err(), "lapsed holds are free seats");
}

async fn without_the_rule_anything_goes(db: TestDb) {
    let world = World::new(db).await;
    let sale = Sale { forbid_orphan_seats: false, ..strict(&world, &[6]).await };
    let sale = Sale { version: 2, ..sale };
    world.put(&sale).await;

    assert_eq!(picked(&world, &sale, &[1, 2]).await, Ok(()));
    assert!(matches!(world.hold(&sale, "bob", &[4], &[]).await, HoldOutcome::Held(_)));
}

async fn a_pick_that_was_held_stays_answered(db: TestDb) {
    let world = World::new(db).await;
    let sale = strict(&world, &[4]).await;
    let key = world.key("alice", "hold");
    let first = world.pick(&sale, "alice", &[2, 3], key.clone()).await.unwrap();
    assert!(matches!(first, Answer::Held(_)));
    world.pass(HOLD);
    world.held(&sale, "bob", &[0], &[]).await;

    // By now the pick would leave seat 1 alone.
    assert!(matches!(world.pick(&sale, "alice", &[2, 3], key).await, Ok(Answer::Replayed(_))));
}
