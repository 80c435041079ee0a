//! Money back by a box office or by the policy a booking was made under: amounts, places, and what is left afterwards.

use std::sync::Arc;

use booking::domain::booking::CommandError;
use booking::infrastructure::store::{HoldOutcome, RefundState, TransitionError};
use chrono::{DateTime, Duration, Utc};
use common::fact::Fact;
use common::ids::BookingId;
use common::inbox::FactHandler;
use common::money::{Currency, Money};
use common::proto::catalog::v1::EventCancelled;
use common::testing::TestDb;
use tokio::task::JoinSet;

use booking::application::saga::CatalogFacts;

use crate::sale::{PLACE_PRICE, SEAT_PRICE, Sale, policy};
use crate::world::{World, fact};

common::on_both_databases!(
    an_item_is_given_back_with_its_seat_and_its_ticket_and_nothing_else,
    places_of_an_area_are_given_back_one_by_one,
    the_last_item_cancels_the_booking,
    an_amount_goes_back_and_every_seat_stays,
    everything_that_is_left_goes_back_with_every_seat,
    more_than_is_left_is_refused_and_changes_nothing,
    a_used_ticket_keeps_its_place_but_not_the_money,
    twenty_parallel_refunds_never_exceed_what_was_paid,
    a_given_back_item_no_longer_counts_against_the_limit,
    the_policy_frozen_at_purchase_decides_what_a_cancellation_gives_back,
    a_started_event_forbids_cancelling_but_not_refunding,
    a_fee_kept_after_the_event_was_cancelled_goes_back_once,
    a_cancelled_event_gives_partly_refunded_bookings_the_rest,
    a_refund_shows_what_payment_answers,
);

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap()).unwrap()
}

async fn an_item_is_given_back_with_its_seat_and_its_ticket_and_nothing_else(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1, 2], &[]).await;

    let stored = world.refund(booking, &[1], None).await.unwrap();

    assert_eq!(stored.booking.state.name(), "CONFIRMED");
    let void: Vec<bool> = stored.tickets.iter().map(|ticket| ticket.void).collect();
    assert_eq!(void, [false, true, false]);
    assert_eq!(stored.booking.total, eur(3 * SEAT_PRICE), "what it cost stays");
    assert_eq!((stored.refunds.len(), stored.refunds[0].amount), (1, eur(SEAT_PRICE)));
    assert_eq!(world.facts(booking).await[3..], ["RefundRequested"]);
    assert!(world.claim(&sale, 1).await.is_none());
    let other = world.confirmed(&sale, "bob", &[1], &[]).await;
    let again = world.refund(booking, &[1], None).await;
    assert!(matches!(again, Err(TransitionError::Refused(CommandError::ItemCancelled(_)))), "{again:?}");
    assert_eq!(world.claim(&sale, 1).await.unwrap().0, other, "given back once");
    world.audit().await;
}

async fn places_of_an_area_are_given_back_one_by_one(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[4, 2]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[3, 2]).await;

    world.refund(booking, &[2], None).await.unwrap();
    assert_eq!((world.taken(&sale, 0).await, world.taken(&sale, 1).await), (2, 2));
    world.refund(booking, &[4, 5], Some(500)).await.unwrap();

    assert_eq!((world.taken(&sale, 0).await, world.taken(&sale, 1).await), (2, 0));
    assert_eq!(world.refunds(booking).await, [PLACE_PRICE, 500]);
    let left = world.find(booking).await.booking;
    assert_eq!(left.live_items().count(), 3);
    assert!(left.kept_at().is_some(), "a fee was kept of the last two");
    world.confirmed(&sale, "bob", &[], &[2, 2]).await;
    world.cancel("alice", booking).await.unwrap();
    assert_eq!(world.taken(&sale, 0).await, 2);
    world.audit().await;
}

async fn the_last_item_cancels_the_booking(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;
    world.refund(booking, &[0], None).await.unwrap();

    let stored = world.refund(booking, &[1], None).await.unwrap();

    assert_eq!(stored.booking.state.name(), "CANCELLED");
    assert_eq!(world.facts(booking).await[3..], ["RefundRequested", "BookingCancelled", "RefundRequested"]);
    assert!(world.claim(&sale, 0).await.is_none() && world.claim(&sale, 1).await.is_none());
    let over = world.refund(booking, &[], None).await;
    let refusal = CommandError::InvalidState { found: "CANCELLED", wanted: "refunded" };
    assert!(matches!(over, Err(TransitionError::Refused(refused)) if refused == refusal));
    world.audit().await;
}

async fn an_amount_goes_back_and_every_seat_stays(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;

    let stored = world.refund(booking, &[], Some(1001)).await.unwrap();

    assert_eq!(stored.booking.state.name(), "CONFIRMED");
    assert!(stored.tickets.iter().all(|ticket| !ticket.void));
    let off: Vec<i64> = stored.booking.items.iter().map(|item| item.refunded.amount_minor()).collect();
    assert_eq!(off, [501, 500]);
    world.refund(booking, &[0], None).await.unwrap();
    assert_eq!(world.refunds(booking).await, [1001, SEAT_PRICE - 501]);
    world.audit().await;
}

async fn everything_that_is_left_goes_back_with_every_seat(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[2]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[2]).await;
    world.refund(booking, &[], Some(100)).await.unwrap();

    let stored = world.refund(booking, &[], None).await.unwrap();

    assert_eq!(stored.booking.state.name(), "CANCELLED");
    assert!(stored.tickets.iter().all(|ticket| ticket.void));
    assert_eq!(world.refunds(booking).await, [100, 2 * SEAT_PRICE + 2 * PLACE_PRICE - 100]);
    assert_eq!(world.taken(&sale, 0).await, 0);
    world.held(&sale, "bob", &[0, 1], &[2]).await;
    world.audit().await;
}

async fn more_than_is_left_is_refused_and_changes_nothing(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;
    let held = world.held(&world.sale(1, &[]).await, "bob", &[0], &[]).await;
    let before = world.find(booking).await.booking;

    let too_much = world.refund(booking, &[], Some(2 * SEAT_PRICE + 1)).await;
    let of_one = world.refund(booking, &[0], Some(SEAT_PRICE + 1)).await;
    let of_a_hold = world.refund(held, &[], Some(1)).await;

    for (refused, left) in [(too_much, 2 * SEAT_PRICE), (of_one, SEAT_PRICE)] {
        let refusal = CommandError::RefundExceeds { left: eur(left) };
        assert!(matches!(refused, Err(TransitionError::Refused(refused)) if refused == refusal));
    }
    let refusal = CommandError::InvalidState { found: "HELD", wanted: "refunded" };
    assert!(matches!(of_a_hold, Err(TransitionError::Refused(refused)) if refused == refusal));
    assert_eq!(world.find(booking).await.booking, before);
    world.audit().await;
}

async fn a_used_ticket_keeps_its_place_but_not_the_money(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;
    world.check_in(booking, 0).await.unwrap();

    for items in [&[0][..], &[0, 1], &[]] {
        let refused = world.refund(booking, items, None).await;
        assert!(matches!(refused, Err(TransitionError::AlreadyCheckedIn(_))), "{items:?}: {refused:?}");
    }
    world.refund(booking, &[1], None).await.unwrap();
    world.refund(booking, &[], Some(SEAT_PRICE)).await.unwrap();

    assert_eq!(world.state(booking).await, "CONFIRMED");
    assert_eq!(world.claim(&sale, 0).await.unwrap().0, booking);
    assert!(world.claim(&sale, 1).await.is_none());
    assert_eq!(world.refunds(booking).await, [SEAT_PRICE, SEAT_PRICE]);
    world.audit().await;
}

async fn twenty_parallel_refunds_never_exceed_what_was_paid(db: TestDb) {
    let world = Arc::new(World::crowded(db, 20).await);
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;
    let mut refunds = JoinSet::new();
    for _ in 0..20 {
        let world = world.clone();
        refunds.spawn(async move { world.refund(booking, &[], Some(400)).await });
    }

    let (done, refused): (Vec<_>, Vec<_>) = refunds.join_all().await.into_iter().partition(Result::is_ok);

    assert_eq!((done.len(), refused.len()), (12, 8), "5000 hold 400 twelve times");
    for refused in refused {
        assert!(matches!(refused, Err(TransitionError::Refused(CommandError::RefundExceeds { .. }))), "{refused:?}");
    }
    assert_eq!(world.find(booking).await.booking.left(), eur(200));
    assert_eq!(world.refunds(booking).await.iter().sum::<i64>(), 4800);
    world.audit().await;
}

async fn a_given_back_item_no_longer_counts_against_the_limit(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = world.sale(4, &[]).await;
    (sale.limit, sale.version) = (2, 2);
    world.put(&sale).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;
    assert!(matches!(world.hold(&sale, "alice", &[2], &[]).await, HoldOutcome::LimitExceeded { live: 2, limit: 2 }));

    world.refund(booking, &[0], None).await.unwrap();

    world.held(&sale, "alice", &[2], &[]).await;
    assert!(matches!(world.hold(&sale, "alice", &[3], &[]).await, HoldOutcome::LimitExceeded { live: 2, limit: 2 }));
    world.audit().await;
}

/// An event that starts in this time.
async fn sale_in(world: &World, until_start: Duration, seats: usize) -> Sale {
    let mut sale = Sale::new(world.now().await, seats, &[]);
    (sale.starts_at, sale.policy) = (world.now().await + until_start, policy(48, 50, 200));
    sale
}

async fn the_policy_frozen_at_purchase_decides_what_a_cancellation_gives_back(db: TestDb) {
    let world = World::new(db).await;
    let sale = sale_in(&world, Duration::hours(72), 3).await;
    world.put(&sale).await;
    let early = world.confirmed(&sale, "alice", &[0], &[]).await;
    let late = world.confirmed(&sale, "bob", &[1], &[]).await;
    let generous = Sale { version: 2, policy: policy(0, 100, 0), ..sale.clone() };
    world.put(&generous).await;
    let since = world.confirmed(&generous, "carol", &[2], &[]).await;

    world.cancel("alice", early).await.unwrap();
    world.pass(Duration::hours(25));
    world.cancel("bob", late).await.unwrap();
    world.cancel("carol", since).await.unwrap();

    assert_eq!(world.refunds(early).await, [SEAT_PRICE / 2 - 200]);
    assert!(world.refunds(late).await.is_empty(), "outside every bracket nothing comes back");
    assert_eq!(world.facts(late).await[3..], ["BookingCancelled"]);
    assert_eq!(world.refunds(since).await, [SEAT_PRICE]);
    world.audit().await;
}

async fn a_started_event_forbids_cancelling_but_not_refunding(db: TestDb) {
    let world = World::new(db).await;
    let sale = sale_in(&world, Duration::hours(1), 1).await;
    world.put(&sale).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    world.pass(Duration::hours(1));

    let refused = world.cancel("alice", booking).await;

    assert!(matches!(refused, Err(TransitionError::Refused(CommandError::PolicyForbids))), "{refused:?}");
    assert_eq!(world.state(booking).await, "CONFIRMED");
    world.refund(booking, &[], None).await.unwrap();
    assert_eq!(world.refunds(booking).await, [SEAT_PRICE]);
    world.audit().await;
}

/// Catalog tells that the event was cancelled at an instant, perhaps long ago.
async fn cancelled(world: &World, sale: &Sale, occurred_at: DateTime<Utc>) {
    let told = EventCancelled { event_id: sale.event.to_string(), offer_version: 1 };
    let fact = Fact { occurred_at, ..fact(sale.event.0, &told) };
    let transaction = world.db.begin().await.unwrap();
    CatalogFacts::new(world.store.clone(), world.offers.clone()).handle(&transaction, &fact).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn a_fee_kept_after_the_event_was_cancelled_goes_back_once(db: TestDb) {
    let world = World::new(db).await;
    let sale = sale_in(&world, Duration::hours(72), 3).await;
    world.put(&sale).await;
    let before = world.confirmed(&sale, "alice", &[0], &[]).await;
    let since = world.confirmed(&sale, "bob", &[1], &[]).await;
    world.cancel("alice", before).await.unwrap();
    world.pass(Duration::minutes(10));
    let cancelled_at = world.now().await;
    world.pass(Duration::minutes(10));
    world.cancel("bob", since).await.unwrap();
    world.store.stop_selling(sale.event).await.unwrap();
    assert_eq!(world.sweep().await, 0, "as far as booking knows, both were cancelled before");

    cancelled(&world, &sale, cancelled_at).await;

    assert_eq!(world.sweep().await, 1);
    assert_eq!(world.sweep().await, 0);
    let share = SEAT_PRICE / 2 - 200;
    assert_eq!(world.refunds(before).await, [share]);
    assert_eq!(world.refunds(since).await, [share, SEAT_PRICE - share]);
    world.audit().await;
}

async fn a_cancelled_event_gives_partly_refunded_bookings_the_rest(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1, 2], &[]).await;
    world.refund(booking, &[0], Some(500)).await.unwrap();
    world.refund(booking, &[], Some(1000)).await.unwrap();
    world.pass(Duration::minutes(1));

    cancelled(&world, &sale, world.now().await).await;
    world.sweep().await;

    assert_eq!(world.state(booking).await, "CANCELLED");
    let refunds = world.refunds(booking).await;
    let kept = world.find(booking).await.booking.left().amount_minor();
    assert_eq!(refunds[..2], [500, 1000]);
    assert_eq!(refunds.iter().sum::<i64>() + kept, 3 * SEAT_PRICE);
    assert!(0 < kept && kept < SEAT_PRICE, "the box office's fee was kept before: {kept}");
    world.audit().await;
}

async fn a_refund_shows_what_payment_answers(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    let first = world.refund(booking, &[], Some(300)).await.unwrap().refunds.remove(0);
    world.refund(booking, &[], Some(200)).await.unwrap();
    assert_eq!((first.state, first.reason.as_str()), (RefundState::Requested, "sorry"));

    world.refunded(BookingId::new(), first.id, eur(300)).await;
    world.refunded(booking, first.id, eur(300)).await;

    let states: Vec<RefundState> = world.find(booking).await.refunds.iter().map(|refund| refund.state).collect();
    assert_eq!(states, [RefundState::Done, RefundState::Requested]);
}
