//! Request ids: at most one effect, and its answer again.

use std::sync::Arc;

use booking::application::command;
use booking::application::hold::{self, Answer, HoldError};
use booking::infrastructure::store::{Outcome, TransitionError};
use common::requests::{RequestIdError, RequestKey};
use common::testing::TestDb;
use tokio::task::JoinSet;

use crate::sale::Sale;
use crate::world::{HOLD, World, customer_of, encode};

common::on_both_databases!(
    the_same_hold_request_is_answered_with_the_same_bytes,
    another_body_under_a_used_request_id_is_refused,
    a_refusal_is_not_remembered,
    fifty_parallel_calls_with_one_key_have_one_effect_and_one_answer,
    commands_replay_their_first_answer_after_the_booking_moved_on,
    a_hold_is_replayed_although_the_offer_no_longer_has_the_seat,
    customers_and_operations_do_not_share_request_ids,
);

fn key(customer: &str, operation: &str, id: &str, body: &str) -> RequestKey {
    RequestKey::new(customer, operation, id, body.as_bytes()).unwrap()
}

/// The answer's bytes, and whether it is a replay.
async fn hold(world: &World, sale: &Sale, seat: usize, key: RequestKey) -> Result<(Vec<u8>, bool), HoldError> {
    let customer = key.scope.split('/').nth(1).unwrap().to_owned();
    let wish = sale.wish(&[seat], &[]);
    Ok(match hold::hold(&world.store, &world.offers, &customer, sale.event, &wish, key, &encode).await? {
        Answer::Held(stored) => (encode(&stored), false),
        Answer::Replayed(answer) => (answer, true),
    })
}

async fn the_same_hold_request_is_answered_with_the_same_bytes(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let key = || key("alice", "hold", "k", "body");

    let (first, fresh) = hold(&world, &sale, 0, key()).await.unwrap();
    world.pass(HOLD * 2);
    world.sweep().await;
    let again = hold(&world, &sale, 0, key()).await.unwrap();

    assert!(!fresh);
    assert_eq!(again, (first, true));
    assert_eq!(world.count("SELECT count(*) FROM bookings", []).await, 1);
}

async fn another_body_under_a_used_request_id_is_refused(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    hold(&world, &sale, 0, key("alice", "hold", "k", "seat 0")).await.unwrap();

    let refused = hold(&world, &sale, 1, key("alice", "hold", "k", "seat 1")).await;

    assert!(matches!(refused, Err(HoldError::RequestId(RequestIdError::Conflict))));
    assert!(world.claim(&sale, 1).await.is_none());
}

async fn a_refusal_is_not_remembered(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let first = world.held(&sale, "bob", &[0], &[]).await;
    let again = || key("alice", "hold", "k", "body");

    let refused = hold(&world, &sale, 0, again()).await;
    world.release("bob", first).await.unwrap();
    let (_, replayed) = hold(&world, &sale, 0, again()).await.unwrap();

    assert!(matches!(refused, Err(HoldError::SeatsTaken(_))));
    assert!(!replayed);
}

async fn fifty_parallel_calls_with_one_key_have_one_effect_and_one_answer(db: TestDb) {
    let world = Arc::new(World::new(db).await);
    let sale = world.sale(1, &[]).await;
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        let (world, sale) = (world.clone(), sale.clone());
        calls.spawn(async move { hold(&world, &sale, 0, key("alice", "hold", "k", "body")).await.unwrap() });
    }

    let answers = calls.join_all().await;

    assert_eq!(answers.iter().filter(|(_, replayed)| !replayed).count(), 1);
    assert!(answers.iter().all(|(answer, _)| *answer == answers[0].0 && !answer.is_empty()));
    assert_eq!(world.count("SELECT count(*) FROM bookings", []).await, 1);
    assert_eq!(world.count("SELECT count(*) FROM outbox", []).await, 1);
    world.audit().await;
}

async fn commands_replay_their_first_answer_after_the_booking_moved_on(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let alice = customer_of("alice");
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    let pay = async |token: &str| {
        let key = key("alice", "pay", "k", token);
        command::pay(&world.store, &alice, booking, token, &key, &encode).await
    };
    let cancel =
        async || command::cancel(&world.store, &alice, booking, &key("alice", "cancel", "k", ""), &encode).await;
    let other = world.held(&sale, "alice", &[1], &[]).await;
    let release =
        async || command::release(&world.store, &alice, other, &key("alice", "release", "k", ""), &encode).await;

    let Outcome::Done(paid) = pay("tok_approve").await.unwrap() else { panic!("a fresh request") };
    world.authorised(booking, 1).await;
    let Outcome::Done(cancelled) = cancel().await.unwrap() else { panic!("a fresh request") };
    let Outcome::Done(released) = release().await.unwrap() else { panic!("a fresh request") };

    for (again, first) in [(pay("tok_approve").await, paid), (cancel().await, cancelled), (release().await, released)] {
        assert!(matches!(again, Ok(Outcome::Replayed(answer)) if answer == encode(&first)));
    }
    assert!(matches!(pay("tok_decline").await, Err(TransitionError::RequestConflict)));
    assert_eq!(world.find(booking).await.booking.attempts, 1);
    world.audit().await;
}

async fn a_hold_is_replayed_although_the_offer_no_longer_has_the_seat(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let key = |body: &str| key("alice", "hold", "k", body);
    let (first, _) = hold(&world, &sale, 0, key("body")).await.unwrap();
    world.put(&Sale { version: 2, closed: vec![sale.seats[0]], ..sale.clone() }).await;

    let again = hold(&world, &sale, 0, key("body")).await.unwrap();
    let changed = hold(&world, &sale, 0, key("another body")).await;
    let fresh = hold(&world, &sale, 0, RequestKey::new("alice", "hold", "k2", b"body").unwrap()).await;

    assert_eq!(again, (first, true));
    assert!(matches!(changed, Err(HoldError::RequestId(RequestIdError::Conflict))));
    assert!(matches!(fresh, Err(HoldError::Wish(_))));
    assert_eq!(world.count("SELECT count(*) FROM requests", []).await, 1);
}

async fn customers_and_operations_do_not_share_request_ids(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let (_, first) = hold(&world, &sale, 0, key("alice", "hold", "k", "body")).await.unwrap();
    let (_, second) = hold(&world, &sale, 1, key("bob", "hold", "k", "body")).await.unwrap();
    let booking = world.count("SELECT count(*) FROM bookings", []).await;

    assert_eq!((first, second, booking), (false, false, 2));
}
