//! One key, many calls: one effect and identical answers, whichever of its tokens the caller shows; another body is refused.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::auth::Role;
use common::clock::{Clock, ManualClock, SystemClock};
use common::dev_issuer::DevIssuer;
use common::grpc::Caller;
use common::ids::BookingId;
use common::proto::booking::v1::*;
use tokio::task::JoinSet;
use tonic::Code;

use super::{Served, expected, reason, wish};

/// Calls at once.
const CALLS: usize = 50;

/// Two callers with the same subject: one with the token of an hour ago, one with a refreshed one.
fn callers(served: &Served, name: &str, role: Role) -> [Caller; 2] {
    let before = ManualClock::at(SystemClock.now() - chrono::Duration::hours(1));
    let old = DevIssuer::new(Arc::new(before)).unwrap().mint(name, role).unwrap();
    let fresh = served.issuer.mint(name, role).unwrap();
    assert_ne!(old, fresh);
    [old, fresh].map(|token| Caller::user(&token, Instant::now() + Duration::from_secs(60)))
}

/// Sends one request fifty times at once and another body under its key once; returns the one answer.
macro_rules! at_once {
    ($served:expr, $method:ident, $callers:expr, $request:expr, $other:expr) => {{
        let callers = $callers;
        let mut calls = JoinSet::new();
        for n in 0..CALLS {
            let (mut client, request) = ($served.client(), callers[n % 2].request($request.clone()));
            calls.spawn(async move { client.$method(request).await.map(tonic::Response::into_inner) });
        }
        let answers: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{:?}", answers);
        let refused = $served.client().$method(callers[0].request($other)).await;
        assert_eq!(reason(refused), expected(Code::Aborted, "IDEMPOTENCY_CONFLICT", "request_id"));
        answers.into_iter().next().unwrap()
    }};
}

#[tokio::test]
async fn every_operation_has_one_effect_and_one_answer_per_key_although_the_token_was_refreshed() {
    let served = Served::start().await;
    let world = served.world.clone();
    let sale = world.sale(6, &[]).await;
    let alice = || callers(&served, "alice", Role::Customer);
    let office = || callers(&served, "office", Role::Admin);

    let held = at_once!(served, hold_seats, alice(), wish(&sale, &[0, 1], 0, "k"), wish(&sale, &[2], 0, "k"));
    let booking_id = held.booking.unwrap().id;
    let booking = BookingId::parse(&booking_id).unwrap();
    let pay = |token: &str| PayBookingRequest {
        booking_id: booking_id.clone(),
        payment_token: token.into(),
        request_id: "k".into(),
    };
    at_once!(served, pay_booking, alice(), pay("tok_approve"), pay("tok_decline"));
    world.authorised(booking, 1).await;
    let refund = |amount_minor| RefundBookingRequest {
        booking_id: booking_id.clone(),
        amount_minor: Some(amount_minor),
        request_id: "k".into(),
        ..RefundBookingRequest::default()
    };
    at_once!(served, refund_booking, office(), refund(300), refund(301));
    assert_eq!(world.refunds(booking).await, [300]);

    let cancel = |booking_id: &str| CancelBookingRequest { booking_id: booking_id.into(), request_id: "k".into() };
    at_once!(served, cancel_booking, alice(), cancel(&booking_id), cancel(&BookingId::new().to_string()));
    let facts = ["BookingHeld", "PaymentRequested", "BookingConfirmed", "RefundRequested"];
    assert_eq!(world.facts(booking).await[..4], facts);
    assert_eq!(world.facts(booking).await[4..], ["BookingCancelled", "RefundRequested"]);

    let other = world.held(&sale, "alice", &[3], &[]).await;
    let release = |booking_id: &str| ReleaseBookingRequest { booking_id: booking_id.into(), request_id: "k".into() };
    at_once!(served, release_booking, alice(), release(&other.to_string()), release(&BookingId::new().to_string()));
    assert_eq!(world.facts(other).await, ["BookingHeld", "BookingReleased"]);

    let sold = world.confirmed(&sale, "alice", &[4, 5], &[]).await;
    let token = world.find(sold).await.tickets.remove(0).token;
    let scan = |gate: &str| CheckInRequest { token: token.clone(), gate: gate.into(), request_id: "k".into() };
    let admitted = at_once!(served, check_in, office(), scan("North"), scan("South"));
    assert_eq!(admitted.ticket.unwrap().used_gate, "North");
    let lines = "SELECT count(*) FROM history WHERE cause = 'check_in'";
    assert_eq!(world.count(lines, []).await, 1);
    world.audit().await;
}

#[tokio::test]
async fn a_scan_without_a_key_is_one_of_its_own_and_a_refused_one_is_not_remembered() {
    let served = Served::start().await;
    let sale = served.world.sale(1, &[]).await;
    let sold = served.world.confirmed(&sale, "alice", &[0], &[]).await;
    let token = served.world.find(sold).await.tickets.remove(0).token;
    let scan = async |token: &str, id: &str| {
        let request = CheckInRequest { token: token.into(), gate: "North".into(), request_id: id.into() };
        served.client().check_in(served.caller("door", Role::Admin).request(request)).await
    };

    let forged = scan("evt1.forged", "k").await;
    let first = scan(&token, "k").await.unwrap().into_inner();
    let again = scan(&token, "k").await.unwrap().into_inner();
    let another = scan(&token, "").await;

    assert_eq!(reason(forged), expected(Code::NotFound, "NOT_FOUND", "token"));
    assert_eq!(first, again);
    assert_eq!(reason(another), expected(Code::FailedPrecondition, "ALREADY_CHECKED_IN", "token"));
}
