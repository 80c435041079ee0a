//! The simulated provider: idempotent by reference, durable, and with every outcome on demand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::ids::{PaymentId, RefundId};
use common::test_token::TestToken;
use payment::application::ports::{Answer, Authorisation, Provider, RefundStatus};
use payment::domain::{PaymentState, Reference};
use payment::infrastructure::provider::simulated::SimulatedProvider;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::{World, eur, on_both_databases, price, sqlite_url};

on_both_databases!(every_test_token_has_its_outcome);

async fn open(folder: &TempDir) -> SimulatedProvider {
    SimulatedProvider::open(&sqlite_url(folder, "provider")).await.unwrap()
}

fn reference() -> Reference {
    Reference::of(PaymentId::new(), 1)
}

fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned() }
}

#[tokio::test]
async fn every_call_is_done_once_however_often_it_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, reference, refund) = (open(&folder).await, reference(), RefundId::new());

    for _ in 0..2 {
        assert_eq!(provider.authorise(&reference, price(), "tok_approve").await, Ok(Answer::Done));
    }
    for _ in 0..2 {
        assert_eq!(provider.capture(&reference, price()).await, Ok(Answer::Done));
    }
    for _ in 0..2 {
        assert_eq!(provider.refund(&reference, refund, eur(2000)).await, Ok(Answer::Done));
    }

    assert_eq!(provider.refund(&reference, RefundId::new(), eur(501)).await, Ok(refused("REFUND_EXCEEDS")));
    assert_eq!(provider.void(&reference).await, Ok(refused("ALREADY_CAPTURED")));
    let charge = provider.status(&reference).await.unwrap().unwrap();
    assert_eq!((charge.captured, charge.voided), (Some(price()), false));
    assert_eq!(charge.refunds, [(refund, RefundStatus::Done { amount: eur(2000) })]);
}

#[tokio::test]
async fn parallel_calls_with_one_reference_have_one_effect() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, reference) = (Arc::new(open(&folder).await), reference());
    let mut calls = JoinSet::new();
    for token in ["tok_approve", "tok_decline"].repeat(5) {
        let (provider, reference) = (provider.clone(), reference.clone());
        calls.spawn(async move { provider.authorise(&reference, price(), token).await.unwrap() });
    }

    let mut answers = calls.join_all().await;

    answers.dedup();
    assert_eq!(answers.len(), 1);
}

#[tokio::test]
async fn a_void_of_an_unknown_reference_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, reference) = (open(&folder).await, reference());
    assert_eq!(provider.status(&reference).await, Ok(None));

    for _ in 0..2 {
        assert_eq!(provider.void(&reference).await, Ok(Answer::Done));
    }

    assert_eq!(provider.authorise(&reference, price(), "tok_approve").await, Ok(refused("VOIDED")));
    let charge = provider.status(&reference).await.unwrap().unwrap();
    assert!(charge.voided);
    assert_eq!(charge.authorisation, Authorisation::Declined { code: "VOIDED".to_owned() });
}

#[tokio::test]
async fn what_is_voided_or_declined_cannot_be_captured() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, voided, declined) = (open(&folder).await, reference(), reference());
    provider.authorise(&voided, price(), "tok_approve").await.unwrap();
    provider.void(&voided).await.unwrap();
    provider.authorise(&declined, price(), "tok_insufficient_funds").await.unwrap();

    for reference in [voided, declined, reference()] {
        assert_eq!(provider.capture(&reference, price()).await, Ok(refused("NOT_AUTHORISED")));
        assert_eq!(provider.refund(&reference, RefundId::new(), eur(1)).await, Ok(refused("NOT_CAPTURED")));
    }
}

#[tokio::test]
async fn its_ledger_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let reference = reference();
    let provider = open(&folder).await;
    provider.authorise(&reference, price(), "tok_approve").await.unwrap();
    provider.capture(&reference, price()).await.unwrap();
    drop(provider);

    let provider = open(&folder).await;

    assert_eq!(provider.status(&reference).await.unwrap().unwrap().captured, Some(price()));
    assert_eq!(provider.capture(&reference, price()).await, Ok(Answer::Done));
}

#[tokio::test]
async fn a_call_that_times_out_was_decided_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let provider = open(&folder).await;
    let declined = Authorisation::Declined { code: "CARD_DECLINED".to_owned() };
    for (token, outcome) in [
        ("tok_timeout_then_approved", Authorisation::Approved { amount: price() }),
        ("tok_timeout_then_declined", declined),
    ] {
        let reference = reference();
        let call = provider.authorise(&reference, price(), token);
        assert!(tokio::time::timeout(Duration::from_secs(1), call).await.is_err(), "{token} answered");

        assert_eq!(provider.status(&reference).await.unwrap().unwrap().authorisation, outcome);
    }
}

#[tokio::test]
async fn the_slow_token_is_approved_after_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let (provider, reference, started) = (open(&folder).await, reference(), Instant::now());

    assert_eq!(provider.authorise(&reference, price(), "tok_slow").await, Ok(Answer::Done));

    assert!(started.elapsed() >= Duration::from_secs(3));
}

async fn every_test_token_has_its_outcome(world: World) {
    let folder = tempfile::tempdir().unwrap();
    let running = world.work(Arc::new(open(&folder).await));
    let mut bookings = Vec::new();
    let numbered = [TestToken::ApproveAfter { seconds: 0 }, TestToken::RefundFails { times: 1 }];
    for token in TestToken::PLAIN.into_iter().chain(numbered) {
        let (state, code) = match token {
            TestToken::Approve
            | TestToken::TimeoutThenApproved
            | TestToken::DuplicateCallback
            | TestToken::CallbackFirst
            | TestToken::ApproveAfter { .. }
            | TestToken::CaptureFails
            | TestToken::RefundFails { .. }
            | TestToken::RefundPendingThenFailed => (PaymentState::Authorised, None),
            // Slower than the worker's patience here, and never recorded before it answers.
            TestToken::Slow => continue,
            TestToken::Decline | TestToken::TimeoutThenDeclined => (PaymentState::Declined, Some("CARD_DECLINED")),
            TestToken::InsufficientFunds => (PaymentState::Declined, Some("INSUFFICIENT_FUNDS")),
        };
        bookings.push((world.requested(&token.to_string()).await, state, code));
    }
    bookings.push((world.requested("tok_visa").await, PaymentState::Declined, Some("INVALID_TOKEN")));

    for (id, state, code) in bookings {
        let payment = world.until(id, state).await;
        assert_eq!(payment.decline_code.as_deref(), code);
    }
    running.stop().await;
}
