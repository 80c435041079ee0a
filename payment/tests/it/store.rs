//! Booking's facts through the saga into both databases.

use std::time::Duration;

use common::ids::{BookingId, PaymentId, RefundId};
use common::inbox::HandleError;
use common::proto::booking::v1 as booking;
use payment::application::ports::{Overdue, PaymentStore};
use payment::application::waiting::Waiting;
use payment::domain::{PaymentState, RefundState, StepKind, StepState, Work};
use tokio::task::JoinSet;

use crate::scripted::Scripted;
use crate::support::{World, confirmed, eur, expired, give_back, held, on_both_databases, pay, price, void};

on_both_databases!(
    a_held_booking_opens_its_payment_once,
    a_request_to_pay_makes_one_durable_step,
    what_was_written_is_read_back,
    facts_that_cannot_be_true_are_refused_whole,
    an_unpaid_booking_closes_its_payment,
    parallel_refunds_never_exceed_the_capture,
    every_transition_stands_in_the_history,
    a_step_is_claimed_by_one_worker,
    claims_lapse_and_are_given_up_on_restart,
    steps_of_one_payment_are_claimed_in_order,
    payments_that_wait_too_long_tell_their_last_fact_again,
);

async fn a_held_booking_opens_its_payment_once(world: World) {
    let id = world.held().await;
    world.tell(id, &held(id, "mallory")).await.unwrap();

    let payment = world.payment(id).await;

    assert_eq!((payment.state, payment.amount, payment.customer_id.as_str()), (PaymentState::Open, price(), "alice"));
    assert_eq!(world.number("SELECT count(*) FROM payments").await, 1);
    assert!(world.told(id).await.is_empty());
}

async fn a_request_to_pay_makes_one_durable_step(world: World) {
    let id = world.requested("tok_approve").await;
    world.tell(id, &pay(id, 1, "tok_approve")).await.unwrap();

    let payment = world.payment(id).await;

    assert_eq!((payment.state, payment.attempt, payment.steps.len()), (PaymentState::Authorising, 1, 1));
    assert_eq!(payment.steps[0].work, Work::Authorise { token: "tok_approve".to_owned() });
    let reference = format!("SELECT count(*) FROM provider_steps WHERE reference = '{id}-1' AND state = 'pending'");
    assert_eq!(world.number(&reference).await, 1);
}

async fn what_was_written_is_read_back(world: World) {
    let id = world.captured(Scripted::new([])).await;
    let refund = RefundId::new();
    world.tell(id, &give_back(id, refund, 500)).await.unwrap();

    let payment = world.payment(id).await;

    assert_eq!((payment.captured_minor, payment.refunded_minor, payment.sequence), (2500, 0, 2));
    let steps: Vec<_> = payment.steps.iter().map(|s| (s.ordinal, s.kind(), s.state)).collect();
    assert_eq!(
        steps,
        [
            (1, StepKind::Authorise, StepState::Done),
            (2, StepKind::Capture, StepState::Done),
            (3, StepKind::Refund, StepState::Pending)
        ]
    );
    assert_eq!(payment.steps[2].work, Work::Refund { refund });
    let refunds: Vec<_> = payment.refunds.iter().map(|r| (r.id, r.amount, r.state)).collect();
    assert_eq!(refunds, [(refund, eur(500), RefundState::Pending)]);
    world.books_balance().await;
}

async fn facts_that_cannot_be_true_are_refused_whole(world: World) {
    let (id, stranger) = (world.held().await, BookingId::new());
    let before = world.payment(id).await;
    let other_amount = booking::PaymentRequested { amount: Some(eur(1).into()), ..pay(id, 1, "tok_approve") };
    let no_amount = booking::PaymentRequested { amount: None, ..pay(id, 1, "tok_approve") };
    let no_refund = booking::RefundRequested { refund_id: "x".into(), ..give_back(id, RefundId::new(), 1) };

    let outcomes = [
        world.tell(stranger, &pay(stranger, 1, "tok_approve")).await,
        world.tell(id, &other_amount).await,
        world.tell(id, &no_amount).await,
        world.tell(id, &no_refund).await,
        world.tell(id, &confirmed(id, 1)).await,
        world.tell(id, &void(id, 1)).await,
        world.tell(id, &give_back(id, RefundId::new(), 2500)).await,
        world.tell(id, &booking::GetBookingRequest::default()).await,
    ];

    for outcome in outcomes {
        assert!(matches!(outcome, Err(HandleError::Permanent(_))), "{outcome:?}");
    }
    assert_eq!(world.payment(id).await, before);
}

async fn an_unpaid_booking_closes_its_payment(world: World) {
    let (never_paid, paying) = (world.held().await, world.requested("tok_approve").await);

    for id in [never_paid, paying] {
        world.tell(id, &expired(id)).await.unwrap();
    }

    assert_eq!(world.payment(never_paid).await.state, PaymentState::Closed);
    assert_eq!(world.payment(paying).await.state, PaymentState::Authorising);
}

async fn parallel_refunds_never_exceed_the_capture(world: World) {
    let id = world.captured(Scripted::new([])).await;
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let world = world.clone();
        asking.spawn(async move { world.tell(id, &give_back(id, RefundId::new(), 300)).await.is_ok() });
    }

    let accepted = asking.join_all().await.into_iter().filter(|taken| *taken).count();

    assert_eq!(accepted, 8);
    assert_eq!(world.number("SELECT sum(amount_minor) FROM refunds").await, 2400);
}

async fn every_transition_stands_in_the_history(world: World) {
    let id = world.captured(Scripted::new([])).await;
    let sql = "SELECT from_state, to_state, cause FROM history WHERE entity_id = $1 ORDER BY position";

    let rows = world.db.query(world.db.reader(), sql, [id.into()]).await.unwrap();

    let column = |row: &sea_orm::QueryResult, name| row.try_get::<String>("", name).unwrap();
    let history: Vec<_> =
        rows.iter().map(|r| (column(r, "from_state"), column(r, "to_state"), column(r, "cause"))).collect();
    let expected = [
        ("", "open", "BookingHeld"),
        ("open", "authorising", "PaymentRequested"),
        ("authorising", "authorised", "authorise done"),
        ("authorised", "captured", "capture done"),
    ];
    assert_eq!(history, expected.map(|(from, to, cause)| (from.to_owned(), to.to_owned(), cause.to_owned())));
}

async fn a_step_is_claimed_by_one_worker(world: World) {
    for _ in 0..20 {
        world.requested("tok_approve").await;
    }
    let mut claiming = JoinSet::new();
    for instance in ["a", "b", "c", "d"] {
        let other = world.another(instance);
        claiming.spawn(async move { other.store.claim(20, Duration::from_secs(60)).await.unwrap() });
    }

    let claims = claiming.join_all().await.concat();

    let mut payments: Vec<PaymentId> = claims.iter().map(|c| c.payment_id).collect();
    payments.sort_unstable();
    payments.dedup();
    assert_eq!((claims.len(), payments.len()), (20, 20));
    assert!(claims.iter().all(|c| c.step.claim_epoch == 1 && c.step.tries == 1));
}

async fn claims_lapse_and_are_given_up_on_restart(world: World) {
    world.requested("tok_approve").await;
    let (minute, other) = (Duration::from_secs(60), world.another("two"));
    assert_eq!(world.store.claim(1, minute).await.unwrap().len(), 1);
    assert!(other.store.claim(1, minute).await.unwrap().is_empty());

    world.db.shift_time(chrono::Duration::seconds(61));
    assert_eq!(other.store.claim(1, minute).await.unwrap()[0].step.claim_epoch, 2);

    world.store.release_claims().await.unwrap();
    assert!(world.store.claim(1, minute).await.unwrap().is_empty());
    other.store.release_claims().await.unwrap();
    assert_eq!(world.store.claim(1, minute).await.unwrap().len(), 1);
}

async fn steps_of_one_payment_are_claimed_in_order(world: World) {
    let id = world.captured(Scripted::new([])).await;
    for _ in 0..3 {
        world.tell(id, &give_back(id, RefundId::new(), 100)).await.unwrap();
    }

    let claims = world.store.claim(32, Duration::from_secs(60)).await.unwrap();

    assert_eq!(claims.iter().map(|c| c.step.ordinal).collect::<Vec<_>>(), [3]);
}

async fn payments_that_wait_too_long_tell_their_last_fact_again(world: World) {
    let id = world.requested("tok_approve").await;
    let running = world.work(Scripted::new([]));
    world.until(id, PaymentState::Authorised).await;
    running.stop().await;
    let sql = format!("UPDATE outbox SET published_at = {}", world.db.now_sql());
    world.db.execute(world.db.writer(), sql, []).await.unwrap();
    let waiting = Waiting::new(world.store.clone(), Duration::from_secs(30));
    assert!(waiting.nudge().await.unwrap().is_empty());

    world.db.shift_time(chrono::Duration::seconds(31));
    let due = Overdue { payment_id: PaymentId::of(id), waits_for_booking: true };
    assert_eq!(world.store.overdue(Duration::from_secs(30)).await.unwrap(), [due]);
    assert_eq!(waiting.waiting().await.unwrap(), [id.0]);
    assert_eq!(waiting.nudge().await.unwrap(), [id.0]);

    assert_eq!(world.number("SELECT count(*) FROM outbox WHERE published_at IS NULL").await, 1);
    assert!(waiting.nudge().await.unwrap().is_empty(), "nudged again at once");
    world.db.shift_time(chrono::Duration::seconds(31));
    assert_eq!(waiting.nudge().await.unwrap(), [id.0]);
}
