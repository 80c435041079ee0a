//! Test tokens whose money comes late, is refused at the capture, or does not go back at once.

use std::sync::Arc;
use std::time::Duration;

use common::ids::{BookingId, PaymentId, RefundId};
use payment::application::ports::{Answer, Authorisation, PaymentStore, Provider, RefundStatus};
use payment::domain::{PaymentState, Reference, RefundState, StepState};
use payment::infrastructure::provider::simulated::SimulatedProvider;

use crate::support::{World, confirmed, give_back, on_both_databases, price};

on_both_databases!(
    a_late_approval_is_known_at_its_time_and_survives_restarts,
    payment_asks_until_a_late_approval_is_known,
    a_void_before_the_approval_is_final,
    a_refused_capture_is_final_and_lets_the_money_go,
    payment_tells_a_refused_capture_once,
    refunds_fail_as_often_as_their_token_says,
    a_refund_that_fails_too_often_is_stuck,
    a_pending_refund_that_failed_is_sent_again,
    payment_sends_a_pending_refund_that_failed_again,
);

/// The provider beside payment in one database, so that both clocks can be moved.
async fn open(world: &World) -> Arc<SimulatedProvider> {
    Arc::new(SimulatedProvider::over(world.db.clone()).await.unwrap())
}

fn reference() -> Reference {
    Reference::of(PaymentId::new(), 1)
}

fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned() }
}

async fn authorisation(provider: &SimulatedProvider, reference: &Reference) -> Authorisation {
    provider.status(reference).await.unwrap().unwrap().authorisation
}

/// How often the provider moved money in a way.
async fn entries(world: &World, kind: &str) -> i64 {
    world.number(&format!("SELECT count(*) FROM provider_entries WHERE kind = '{kind}'")).await
}

async fn a_late_approval_is_known_at_its_time_and_survives_restarts(world: World) {
    let (provider, reference, token) = (open(&world).await, reference(), "tok_approve_after_660");
    for _ in 0..2 {
        assert_eq!(provider.authorise(&reference, price(), token).await, Ok(Answer::Pending));
    }
    assert_eq!(provider.capture(&reference, price()).await, Ok(Answer::Pending));
    world.db.shift_time(chrono::Duration::seconds(600));
    let provider = open(&world).await;
    assert_eq!(authorisation(&provider, &reference).await, Authorisation::Pending);

    world.db.shift_time(chrono::Duration::seconds(61));

    assert_eq!(authorisation(&provider, &reference).await, Authorisation::Approved { amount: price() });
    assert_eq!(provider.authorise(&reference, price(), token).await, Ok(Answer::Done));
    assert_eq!(provider.capture(&reference, price()).await, Ok(Answer::Done));
    assert_eq!(entries(&world, "authorise").await, 1);
}

async fn payment_asks_until_a_late_approval_is_known(world: World) {
    let running = world.work(open(&world).await);
    let id = world.requested("tok_approve_after_660").await;
    world.until_payment(id, |payment| payment.steps[0].tries >= 5).await;
    let waiting = world.until_payment(id, |payment| payment.steps[0].state == StepState::Unknown).await;
    assert_eq!(waiting.state, PaymentState::Authorising);
    assert!(world.told(id).await.is_empty());
    assert!(world.store.standing().await.unwrap().oldest_unknown.unwrap() < Duration::from_secs(60));

    world.db.shift_time(chrono::Duration::seconds(600));
    assert!(world.store.standing().await.unwrap().oldest_unknown.unwrap() >= Duration::from_secs(600));
    world.db.shift_time(chrono::Duration::seconds(61));
    world.until(id, PaymentState::Authorised).await;

    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
    assert_eq!(world.store.standing().await.unwrap().oldest_unknown, None);
    assert_eq!(entries(&world, "authorise").await, 1);
    running.stop().await;
}

async fn a_void_before_the_approval_is_final(world: World) {
    let (provider, reference) = (open(&world).await, reference());
    provider.authorise(&reference, price(), "tok_approve_after_60").await.unwrap();

    for _ in 0..2 {
        assert_eq!(provider.void(&reference).await, Ok(Answer::Done));
    }
    world.db.shift_time(chrono::Duration::seconds(61));

    let declined = Authorisation::Declined { code: "VOIDED".to_owned() };
    assert_eq!(authorisation(&provider, &reference).await, declined);
    assert_eq!(provider.capture(&reference, price()).await, Ok(refused("NOT_AUTHORISED")));
    assert_eq!(entries(&world, "void").await, 1);
}

async fn a_refused_capture_is_final_and_lets_the_money_go(world: World) {
    let (provider, reference) = (open(&world).await, reference());
    assert_eq!(provider.authorise(&reference, price(), "tok_capture_fails").await, Ok(Answer::Done));

    for _ in 0..2 {
        assert_eq!(provider.capture(&reference, price()).await, Ok(refused("CAPTURE_REFUSED")));
    }

    let charge = provider.status(&reference).await.unwrap().unwrap();
    assert_eq!((charge.voided, charge.captured), (true, None));
    assert_eq!((entries(&world, "capture").await, entries(&world, "void").await), (0, 1));
}

async fn payment_tells_a_refused_capture_once(world: World) {
    let id = world.requested("tok_capture_fails").await;
    let running = world.work(open(&world).await);
    world.until(id, PaymentState::Authorised).await;
    world.tell(id, &confirmed(id, 1)).await.unwrap();

    let closed = world.until(id, PaymentState::Closed).await;

    assert_eq!(closed.decline_code.as_deref(), Some("CAPTURE_REFUSED"));
    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptureFailed"]);
    world.books_balance().await;
    running.stop().await;
}

async fn refunds_fail_as_often_as_their_token_says(world: World) {
    let id = world.captured_with("tok_refund_fails_2", open(&world).await).await;
    let running = world.work(open(&world).await);
    let refund = refund_in_full(&world, id).await;

    let payment = world.until(id, PaymentState::Refunded).await;

    assert_eq!(payment.steps.last().map(|step| step.refusals), Some(2));
    assert_eq!(payment.refund(refund).map(|refund| refund.state), Some(RefundState::Done));
    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptured", "PaymentRefunded"]);
    assert_eq!(entries(&world, "refund").await, 1);
    world.books_balance().await;
    running.stop().await;
}

async fn a_refund_that_fails_too_often_is_stuck(world: World) {
    let id = world.captured_with("tok_refund_fails_3", open(&world).await).await;
    let running = world.work(open(&world).await);
    let refund = refund_in_full(&world, id).await;

    let stuck = |payment: &payment::domain::Payment| payment.steps.iter().any(|step| step.state == StepState::Stuck);
    let payment = world.until_payment(id, stuck).await;

    assert_eq!(payment.state, PaymentState::Captured);
    assert_eq!(payment.refund(refund).map(|refund| refund.state), Some(RefundState::Stuck));
    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptured", "PaymentStuck"]);
    assert_eq!(entries(&world, "refund").await, 0);
    running.stop().await;
}

async fn a_pending_refund_that_failed_is_sent_again(world: World) {
    let (provider, reference, refund) = (open(&world).await, reference(), RefundId::new());
    provider.authorise(&reference, price(), "tok_refund_pending_then_failed").await.unwrap();
    provider.capture(&reference, price()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(provider.refund(&reference, refund, price()).await, Ok(Answer::Pending));
    }
    let refunds = async || provider.status(&reference).await.unwrap().unwrap().refunds;
    assert_eq!(refunds().await, [(refund, RefundStatus::Pending)]);

    world.db.shift_time(chrono::Duration::seconds(3));
    assert_eq!(refunds().await, [(refund, RefundStatus::Failed { code: "REFUND_FAILED".to_owned() })]);
    for _ in 0..2 {
        assert_eq!(provider.refund(&reference, refund, price()).await, Ok(Answer::Done));
    }

    assert_eq!(refunds().await, [(refund, RefundStatus::Done { amount: price() })]);
    assert_eq!(entries(&world, "refund").await, 1);
}

async fn payment_sends_a_pending_refund_that_failed_again(world: World) {
    let id = world.captured_with("tok_refund_pending_then_failed", open(&world).await).await;
    let running = world.work(open(&world).await);
    refund_in_full(&world, id).await;
    world.until_payment(id, |payment| payment.steps.last().is_some_and(|step| step.state == StepState::Unknown)).await;

    let payment = world.until(id, PaymentState::Refunded).await;

    assert_eq!(payment.steps.last().map(|step| step.refusals), Some(1));
    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptured", "PaymentRefunded"]);
    assert_eq!(entries(&world, "refund").await, 1);
    world.books_balance().await;
    running.stop().await;
}

async fn refund_in_full(world: &World, id: BookingId) -> RefundId {
    let refund = RefundId::new();
    world.tell(id, &give_back(id, refund, price().amount_minor())).await.unwrap();
    refund
}
