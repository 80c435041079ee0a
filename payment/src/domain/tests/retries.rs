//! What a person may do about stuck steps.

use super::*;

fn stuck(payment: Payment) -> Payment {
    let mut payment = payment;
    for _ in 0..PATIENCE.refusals_max {
        payment = answer(payment, refused("TRY_LATER")).next;
    }
    payment
}

#[test]
fn a_stuck_refund_is_asked_again_with_new_patience() {
    let id = RefundId::new();
    let payment = stuck(refund(captured(), id, 2500).unwrap().next);
    assert_eq!(payment.refund(id).map(|refund| refund.state), Some(RefundState::Stuck));

    let again = payment.retry_refund(id).unwrap();

    assert_eq!(again.next.refund(id).map(|refund| refund.state), Some(RefundState::Pending));
    assert_eq!(again.next.current_step().map(|step| (step.kind(), step.refusals)), Some((StepKind::Refund, 0)));
    assert!(again.facts.is_empty() && again.movements.is_empty());
    assert!(matches!(refund(again.next.clone(), RefundId::new(), 1), Err(Impossible::Amount { .. })));
    let refunded = answer(again.next, Outcome::Done);
    assert_eq!(refunded.next.state, PaymentState::Refunded);
    assert_eq!(refunded.facts, [PaymentFact::Refunded { refund: id, amount: eur(2500) }]);
}

#[test]
fn a_retry_that_is_refused_too_often_is_stuck_and_told_again() {
    let id = RefundId::new();
    let again = stuck(refund(captured(), id, 2500).unwrap().next).retry_refund(id).unwrap().next;
    let mut last = answer(again, refused("TRY_LATER"));
    for _ in 1..PATIENCE.refusals_max {
        last = answer(last.next, refused("TRY_LATER"));
    }

    assert!(matches!(last.facts[..], [PaymentFact::Stuck { refund: Some(stuck), .. }] if stuck == id));
    assert_eq!(last.alarms, [Alarm::Stuck { step: StepKind::Refund, reason: "TRY_LATER".to_owned() }]);
}

#[test]
fn a_stuck_void_is_asked_again() {
    let payment = stuck(authorised().void(1).unwrap().next);

    let voided = answer(payment.retry_void(1).unwrap().next, Outcome::Done);

    assert_eq!((voided.next.state, voided.next.is_held(1)), (PaymentState::Voided, false));
}

#[test]
fn only_what_is_stuck_is_asked_again() {
    let id = RefundId::new();
    let pending = refund(captured(), id, 2500).unwrap().next;

    assert_eq!(pending.clone().retry_refund(id), Err(NotStuck::Found(StepState::Pending)));
    assert_eq!(pending.clone().retry_refund(RefundId::new()), Err(NotStuck::Missing));
    assert_eq!(pending.retry_void(1), Err(NotStuck::Missing));
    assert_eq!(in_state(PaymentState::Voided).retry_void(1), Err(NotStuck::Found(StepState::Done)));
}
