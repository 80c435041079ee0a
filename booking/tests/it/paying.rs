//! Paying: the grace, declines, tickets, and what ends a confirmed booking.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use booking::domain::booking::{BookingState, CommandError};
use booking::infrastructure::store::{Stored, TransitionError};
use common::ids::{BookingId, RefundId};
use common::money::{Currency, Money};
use common::testing::TestDb;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::sale::{PLACE_PRICE, SEAT_PRICE};
use crate::world::{GRACE, HOLD, SECOND, World};

common::on_both_databases!(
    paying_extends_the_hold_once_by_the_grace,
    a_decline_returns_to_the_original_end_and_a_second_attempt_can_succeed,
    a_declined_hold_lapses_at_its_original_end,
    confirming_sells_the_seats_and_issues_signed_tickets,
    a_total_of_zero_confirms_at_once,
    a_customers_cancel_frees_the_seats_voids_the_tickets_and_asks_for_all_the_money,
    a_failed_capture_calls_the_booking_off,
    a_capture_failure_after_a_cancel_changes_nothing,
    refunds_are_closed_by_what_payment_answers,
    another_amount_is_let_go_with_the_seats,
    a_hold_that_lost_a_claim_at_the_last_moment_is_over,
    paying_waits_for_whoever_counts_the_customers_places,
    paying_twice_at_once_starts_one_attempt,
    nobody_acts_on_anothers_booking,
);

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap()).unwrap()
}

async fn paying_extends_the_hold_once_by_the_grace(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[5]).await;
    let booking = world.held(&sale, "alice", &[0], &[2]).await;
    let hold_end = world.claim(&sale, 0).await.unwrap().2.unwrap();
    world.pass(HOLD - SECOND);

    let paying = world.pay("alice", booking).await.unwrap().booking;
    let again = world.pay("alice", booking).await;

    let grace_until = hold_end + GRACE;
    let expected = BookingState::Paying { attempt: 1, expires_at: hold_end, grace_until, claims_held: true };
    assert_eq!(paying.state, expected);
    assert_eq!(world.claim(&sale, 0).await.unwrap().2, Some(grace_until));
    let refusal = CommandError::InvalidState { found: "PAYING", wanted: "paid" };
    assert!(matches!(again, Err(TransitionError::Refused(refused)) if refused == refusal));
    assert_eq!(world.facts(booking).await, ["BookingHeld", "PaymentRequested"]);
    world.pass(GRACE - SECOND);
    assert_eq!(world.sweep().await, 0);
    world.audit().await;
}

async fn a_decline_returns_to_the_original_end_and_a_second_attempt_can_succeed(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.held(&sale, "alice", &[0, 1], &[]).await;
    let hold_end = world.claim(&sale, 0).await.unwrap().2;
    world.pay("alice", booking).await.unwrap();

    world.declined(booking, 1).await;
    let declined = world.find(booking).await.booking;
    let end_again = world.claim(&sale, 1).await.unwrap().2;
    world.pay("alice", booking).await.unwrap();
    world.declined(booking, 1).await;
    world.authorised(booking, 2).await;

    assert_eq!(declined.state, BookingState::Held { expires_at: hold_end.unwrap() });
    assert_eq!(declined.decline_code.as_deref(), Some("CARD_DECLINED"));
    assert_eq!(end_again, hold_end);
    let confirmed = world.find(booking).await.booking;
    assert_eq!(confirmed.state, BookingState::Confirmed { attempt: 2 });
    assert_eq!(confirmed.decline_code, None);
    let facts = ["BookingHeld", "PaymentRequested", "PaymentRequested", "BookingConfirmed"];
    assert_eq!(world.facts(booking).await, facts);
    world.audit().await;
}

async fn a_declined_hold_lapses_at_its_original_end(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(HOLD);

    world.declined(booking, 1).await;

    assert_eq!(world.state(booking).await, "EXPIRED");
    assert!(world.claim(&sale, 0).await.is_none());
    assert_eq!(world.facts(booking).await, ["BookingHeld", "PaymentRequested", "BookingExpired"]);
    world.audit().await;
}

/// The public half of the key that signed, as an offline gate would have it.
async fn public_key(world: &World, key_id: u32) -> Vec<u8> {
    let sql = "SELECT seed FROM ticket_keys WHERE key_id = $1";
    let rows = world.db.query(world.db.reader(), sql, [key_id.cast_signed().into()]).await.unwrap();
    let seed: Vec<u8> = rows[0].try_get("", "seed").unwrap();
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap().public_key().as_ref().to_vec()
}

/// Verifies a ticket as an offline gate would, and returns what it claims: ticket, event, place.
async fn verified(world: &World, token: &str) -> [Uuid; 3] {
    let (format, rest) = token.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    assert_eq!(format, "evt1");
    let claims = URL_SAFE_NO_PAD.decode(claims).unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key_id = u32::from_be_bytes(claims[53..57].try_into().unwrap());
    let key = UnparsedPublicKey::new(&ED25519, public_key(world, key_id).await);
    key.verify(&claims, &signature).expect("the signature is good");
    let mut changed = claims.clone();
    changed[1] ^= 1;
    assert!(key.verify(&changed, &signature).is_err(), "another ticket would pass");
    [1, 17, 33].map(|at| Uuid::from_slice(&claims[at..at + 16]).unwrap())
}

async fn confirming_sells_the_seats_and_issues_signed_tickets(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[5]).await;
    let booking = world.held(&sale, "alice", &[1, 0], &[1]).await;
    world.pay("alice", booking).await.unwrap();

    world.authorised(booking, 1).await;
    world.authorised(booking, 1).await;

    let Stored { booking: confirmed, tickets, .. } = world.find(booking).await;
    assert_eq!(confirmed.state, BookingState::Confirmed { attempt: 1 });
    assert_eq!(confirmed.total, eur(2 * SEAT_PRICE + PLACE_PRICE));
    assert_eq!(world.facts(booking).await, ["BookingHeld", "PaymentRequested", "BookingConfirmed"]);
    let places = [sale.seats[1].0, sale.seats[0].0, sale.areas[0].0.0];
    assert_eq!(tickets.len(), places.len());
    for ((ticket, item), place) in tickets.iter().zip(&confirmed.items).zip(places) {
        assert_eq!((ticket.item_id, ticket.void), (item.id, false));
        assert_eq!(verified(&world, &ticket.token).await, [ticket.id.0, sale.event.0, place]);
    }
    let (owner, state, until) = world.claim(&sale, 0).await.unwrap();
    assert_eq!((owner, state.as_str(), until), (booking, "sold", None));
    world.pass(HOLD * 1000);
    assert_eq!(world.sweep().await, 0);
    world.audit().await;
}

async fn a_total_of_zero_confirms_at_once(db: TestDb) {
    let world = World::new(db).await;
    let mut sale = world.sale(1, &[]).await;
    (sale.seat_price, sale.version) = (0, 2);
    world.put(&sale).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;

    let confirmed = world.pay("alice", booking).await.unwrap();

    assert_eq!(confirmed.booking.state, BookingState::Confirmed { attempt: 0 });
    assert_eq!(confirmed.tickets.len(), 1);
    assert_eq!(world.facts(booking).await, ["BookingHeld", "BookingConfirmed"]);
    world.cancel("alice", booking).await.unwrap();
    assert_eq!(world.facts(booking).await, ["BookingHeld", "BookingConfirmed", "BookingCancelled"]);
    world.audit().await;
}

async fn open_refund(world: &World, booking: BookingId) -> (RefundId, i64, String) {
    let sql = "SELECT id, amount_minor, state FROM booking_refunds WHERE booking_id = $1";
    let rows = world.db.query(world.db.reader(), sql, [booking.into()]).await.unwrap();
    assert_eq!(rows.len(), 1, "one refund");
    let row = &rows[0];
    (row.try_get("", "id").unwrap(), row.try_get("", "amount_minor").unwrap(), row.try_get("", "state").unwrap())
}

async fn a_customers_cancel_frees_the_seats_voids_the_tickets_and_asks_for_all_the_money(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[3]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[3]).await;

    let cancelled = world.cancel("alice", booking).await.unwrap();
    let again = world.cancel("alice", booking).await;

    assert_eq!(cancelled.booking.state.name(), "CANCELLED");
    assert!(cancelled.tickets.iter().all(|ticket| ticket.void));
    let refusal = CommandError::InvalidState { found: "CANCELLED", wanted: "cancelled" };
    assert!(matches!(again, Err(TransitionError::Refused(refused)) if refused == refusal));
    let facts = world.facts(booking).await;
    assert_eq!(facts[3..], ["BookingCancelled", "RefundRequested"]);
    assert_eq!(open_refund(&world, booking).await.1, SEAT_PRICE + 3 * PLACE_PRICE);
    let sql = "SELECT sum(refunded_minor) FROM booking_items WHERE booking_id = $1";
    assert_eq!(world.count(sql, [booking.into()]).await, SEAT_PRICE + 3 * PLACE_PRICE);
    world.held(&sale, "bob", &[0], &[3]).await;
    world.audit().await;
}

async fn a_failed_capture_calls_the_booking_off(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;

    world.capture_failed(booking, 1).await;
    world.capture_failed(booking, 1).await;

    let Stored { booking: cancelled, tickets, .. } = world.find(booking).await;
    assert_eq!(cancelled.state.name(), "CANCELLED");
    assert!(tickets[0].void);
    assert_eq!(world.facts(booking).await[3..], ["BookingCancelled"]);
    world.held(&sale, "bob", &[0], &[]).await;
    world.audit().await;
}

async fn a_capture_failure_after_a_cancel_changes_nothing(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    world.cancel("alice", booking).await.unwrap();
    let other = world.confirmed(&sale, "bob", &[0], &[]).await;
    let facts = world.facts(booking).await;

    world.capture_failed(booking, 1).await;
    world.authorised(booking, 1).await;

    assert_eq!(world.facts(booking).await, facts);
    assert_eq!(world.claim(&sale, 0).await.unwrap().0, other);
    world.audit().await;
}

async fn refunds_are_closed_by_what_payment_answers(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[]).await;
    for (seat, answer, expected) in [(0, Some(SEAT_PRICE), "done"), (1, Some(0), "nothing"), (2, None, "stuck")] {
        let booking = world.confirmed(&sale, "alice", &[seat], &[]).await;
        world.cancel("alice", booking).await.unwrap();
        let (refund, ..) = open_refund(&world, booking).await;

        world.refunded(BookingId::new(), refund, eur(SEAT_PRICE)).await;
        assert_eq!(open_refund(&world, booking).await.2, "requested", "another booking's answer closed it");
        match answer {
            Some(minor) => world.refunded(booking, refund, eur(minor)).await,
            None => {
                let told = common::proto::payment::v1::PaymentStuck {
                    booking_id: booking.to_string(),
                    step: "refund".into(),
                    refund_id: refund.to_string(),
                    reason: "the account is closed".into(),
                };
                world.told(booking, &told).await.unwrap();
            }
        }

        assert_eq!(open_refund(&world, booking).await.2, expected);
    }
}

async fn another_amount_is_let_go_with_the_seats(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pay("alice", booking).await.unwrap();

    world.authorised_with(booking, 1, eur(SEAT_PRICE - 1)).await;

    assert_eq!(world.state(booking).await, "EXPIRED");
    assert_eq!(world.facts(booking).await[2..], ["BookingExpired", "VoidRequested"]);
    assert!(world.claim(&sale, 0).await.is_none());
    world.audit().await;
}

async fn a_hold_that_lost_a_claim_at_the_last_moment_is_over(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.held(&sale, "alice", &[0, 1], &[]).await;
    // As when another hold took the seat over between the decision and the lock.
    let sql = "UPDATE seat_claims SET fence = fence + 1000 WHERE seat_id = $1";
    world.db.execute(world.db.writer(), sql, [sale.seats[0].into()]).await.unwrap();

    let paid = world.pay("alice", booking).await;
    let released = world.release("alice", booking).await;

    assert!(matches!(paid, Err(TransitionError::Refused(CommandError::HoldExpired))), "{paid:?}");
    assert!(matches!(released, Err(TransitionError::Refused(CommandError::HoldExpired))), "{released:?}");
    assert_eq!(world.facts(booking).await, ["BookingHeld"], "nothing of it was written");
}

/// Otherwise a hold that lapses while it is being paid would count neither as held nor as being paid, for whoever counts then.
async fn paying_waits_for_whoever_counts_the_customers_places(db: TestDb) {
    let world = Arc::new(World::crowded(db, 4).await);
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    let counting = world.db.begin().await.unwrap();
    // What a hold of alice's does first.
    let sql = "INSERT INTO event_customers (event_id, customer_id) VALUES ($1, 'alice')
        ON CONFLICT (event_id, customer_id) DO UPDATE SET customer_id = excluded.customer_id";
    world.db.execute(&counting, sql, [sale.event.into()]).await.unwrap();

    let paying = {
        let world = world.clone();
        let mut set = JoinSet::new();
        set.spawn(async move { world.pay("alice", booking).await });
        set
    };
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.pass(HOLD);
    counting.commit().await.unwrap();
    let paid = paying.join_all().await.remove(0);

    assert!(matches!(paid, Err(TransitionError::Refused(CommandError::HoldExpired))), "{paid:?}");
}

async fn paying_twice_at_once_starts_one_attempt(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;

    let (first, second) = tokio::join!(world.pay("alice", booking), world.pay("alice", booking));

    assert!(first.is_ok() != second.is_ok());
    assert_eq!(world.find(booking).await.booking.attempts, 1);
    world.audit().await;
}

async fn nobody_acts_on_anothers_booking(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;

    for refused in [
        world.pay("mallory", booking).await,
        world.release("mallory", booking).await,
        world.cancel("mallory", booking).await,
        world.pay("alice", BookingId::new()).await,
    ] {
        assert!(matches!(refused, Err(TransitionError::NotFound)));
    }
    assert_eq!(world.state(booking).await, "HELD");
}
