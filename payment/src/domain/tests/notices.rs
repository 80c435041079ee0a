//! What the provider tells unasked does what the same answer would, once, or raises an alarm.

use super::*;

fn hear(payment: Payment, attempt: u32, news: News) -> Decision {
    payment.hear(attempt, &news, &PATIENCE, now())
}

fn approved(amount_minor: i64) -> News {
    News::Approved { amount: eur(amount_minor) }
}

fn declined() -> News {
    News::Declined { code: "CARD_DECLINED".to_owned() }
}

fn capturing() -> Payment {
    authorised().confirm(1, eur(2500)).unwrap().next
}

fn refunding(id: RefundId) -> Payment {
    refund(captured(), id, 2500).unwrap().next
}

fn stuck_refund(id: RefundId) -> Payment {
    let mut payment = refunding(id);
    for _ in 0..PATIENCE.refusals_max {
        payment = answer(payment, refused("TRY_LATER")).next;
    }
    payment
}

#[test]
fn news_answer_the_step_that_waits_for_them() {
    let id = RefundId::new();
    let voiding = || authorised().void(1).unwrap().next;
    let no = |code: &str| code.to_owned();
    for (payment, news, outcome) in [
        (requested(opened(), 1), approved(2500), Outcome::Done),
        (requested(opened(), 1), declined(), refused("CARD_DECLINED")),
        (capturing(), News::Captured { amount: eur(2500) }, Outcome::Done),
        (capturing(), News::CaptureFailed { code: no("EXPIRED") }, refused("EXPIRED")),
        (voiding(), News::Voided, Outcome::Done),
        (refunding(id), News::Refunded { refund: id, amount: eur(2500) }, Outcome::Done),
    ] {
        let told = hear(payment.clone(), 1, news.clone());
        let answered = answer(payment, outcome);

        assert_eq!((told.next, told.facts), (answered.next, answered.facts), "{news:?}");
    }
}

#[test]
fn news_that_are_known_change_nothing() {
    let id = RefundId::new();
    let refunded = answer(refunding(id), Outcome::Done).next;
    for (payment, news) in [
        (authorised(), approved(2500)),
        (in_state(PaymentState::Declined), declined()),
        (captured(), News::Captured { amount: eur(2500) }),
        (in_state(PaymentState::Voided), News::Voided),
        (refunded.clone(), News::Refunded { refund: id, amount: eur(2500) }),
        (refunded, approved(2500)),
        (opened(), declined()),
        (opened(), News::Voided),
    ] {
        let decision = hear(payment, 1, news.clone());

        assert!(decision.is_empty() && decision.alarms.is_empty(), "{news:?}");
    }
}

#[test]
fn a_refund_that_failed_counts_once_however_it_is_learned() {
    let id = RefundId::new();
    let failed = News::RefundFailed { refund: id, code: "REFUND_FAILED".to_owned() };
    let taken_in = answer(refunding(id), unknown()).next;

    let told = hear(taken_in, 1, failed.clone()).next;
    assert_eq!(told.current_step().map(|step| (step.state, step.refusals)), Some((StepState::Pending, 1)));

    assert!(hear(told, 1, failed).is_empty());
}

#[test]
fn an_approval_of_a_declined_attempt_is_voided_with_an_alarm_and_the_customer_may_try_again() {
    let late = hear(in_state(PaymentState::Declined), 1, approved(2500));

    assert!(late.facts.is_empty());
    assert_eq!(late.alarms, [Alarm::StrayApproval { attempt: 1 }]);
    assert!(late.next.is_held(1));
    let voided = answer(late.next, Outcome::Done);
    assert_eq!((voided.next.state, voided.next.is_held(1)), (PaymentState::Declined, false));
    assert!(voided.facts.is_empty());
    let second = answer(requested(voided.next, 2), Outcome::Done);
    assert_eq!(second.facts, [PaymentFact::Authorised { attempt: 2, amount: eur(2500) }]);
}

#[test]
fn an_approval_of_an_attempt_that_is_over_or_was_never_made_is_voided_with_an_alarm() {
    let superseded = requested(in_state(PaymentState::Declined), 2);
    let closed = in_state(PaymentState::Declined).booking_ended("BookingExpired").next;
    for (payment, attempt) in [(superseded, 1), (closed, 1), (opened(), 1), (captured(), 7)] {
        let state = payment.state;

        let decision = hear(payment, attempt, approved(2400));

        assert_eq!(decision.alarms, [Alarm::StrayApproval { attempt }]);
        assert_eq!(decision.next.step(StepKind::Void, attempt).map(|void| void.amount), Some(eur(2400)));
        let void = decision.next.step(StepKind::Void, attempt).unwrap().ordinal;
        let over = decision.next.answer(void, Outcome::Done, &PATIENCE, now());
        assert_eq!((over.next.state, over.next.is_held(attempt)), (state, false));
        assert!(over.facts.is_empty());
        assert!(hear(over.next, attempt, approved(2400)).facts.is_empty());
    }
}

#[test]
fn an_approval_told_before_its_attempt_is_made_is_voided_and_the_attempt_declined() {
    let early = hear(in_state(PaymentState::Declined), 2, approved(2500)).next;
    let voided = answer(early, Outcome::Done).next;
    let decision = answer(requested(voided, 2), Outcome::Done);

    let code = "AUTHORISATION_VOIDED".to_owned();
    assert_eq!(decision.facts, [PaymentFact::Declined { attempt: 2, code }]);
    assert_eq!(decision.alarms, [Alarm::StrayApproval { attempt: 2 }]);
    let released = answer(decision.next, Outcome::Done);
    assert!(!released.next.is_held(2));
    assert_eq!((released.next.state, released.facts), (PaymentState::Declined, vec![]));
    assert_eq!(requested(released.next, 3).state, PaymentState::Authorising);
}

#[test]
fn a_refused_capture_leaves_the_void_of_a_late_approval_owed() {
    let second = answer(requested(in_state(PaymentState::Declined), 2), Outcome::Done).next;
    let capturing = second.confirm(2, eur(2500)).unwrap().next;
    let late = hear(capturing, 1, approved(2500)).next;
    let refused = answer(late, refused("EXPIRED")).next;
    assert_eq!(refused.state, PaymentState::Closed);

    let void = refused.current_step().expect("the late approval's void is asked next");
    assert_eq!((void.kind(), void.attempt), (StepKind::Void, 1));
    assert!(!answer(refused, Outcome::Done).next.is_held(1));
}

#[test]
fn an_approval_that_comes_after_its_void_is_voided_again() {
    let declined = answer(requested(opened(), 1), refused("VOIDED")).next;
    let voided = answer(declined.void(1).unwrap().next, Outcome::Done).next;

    let late = hear(voided, 1, approved(2500));

    assert_eq!(late.alarms, [Alarm::StrayApproval { attempt: 1 }]);
    assert_eq!(late.next.current_step().map(Step::kind), Some(StepKind::Void));
    assert!(!answer(late.next, Outcome::Done).next.is_held(1));
}

#[test]
fn another_amount_is_never_believed_and_raises_one_alarm() {
    let said = eur(2400);
    let mismatch = |step| vec![Alarm::AmountMismatch { step, asked: eur(2500), said }];
    let waiting = hear(requested(opened(), 1), 1, approved(2400));
    assert_eq!(waiting.alarms, mismatch(StepKind::Authorise));
    assert_eq!(waiting.next.current_step().map(|step| step.state), Some(StepState::Unknown));
    assert!(waiting.facts.is_empty() && waiting.movements.is_empty());

    let again = waiting.next.answer(1, Outcome::Mismatch { said }, &PATIENCE, now());
    assert!(again.alarms.is_empty(), "it says the same");
    let known = answer(again.next, Outcome::Done);
    assert_eq!(known.next.state, PaymentState::Authorised);

    let other = hear(captured(), 1, News::Captured { amount: said });
    assert_eq!(other.alarms, mismatch(StepKind::Capture));
    assert!(other.is_empty());
}

#[test]
fn what_cannot_be_raises_an_alarm_and_changes_nothing() {
    for (payment, news) in [
        (authorised(), declined()),
        (authorised(), News::Captured { amount: eur(2500) }),
        (captured(), News::CaptureFailed { code: "EXPIRED".to_owned() }),
        (captured(), News::Refunded { refund: RefundId::new(), amount: eur(1) }),
        (opened(), approved(0)),
    ] {
        let decision = hear(payment, 1, news.clone());

        assert!(decision.is_empty(), "{news:?}");
        assert_eq!(decision.alarms, [Alarm::Contradiction { news: news.word(), attempt: 1 }]);
    }
}

#[test]
fn news_about_a_step_whose_turn_has_not_come_change_nothing() {
    let id = RefundId::new();
    let waiting = refund(capturing(), id, 2500).unwrap().next;

    assert!(hear(waiting, 1, News::Refunded { refund: id, amount: eur(2500) }).is_empty());
    let voiding = requested(opened(), 1).void(1).unwrap().next;
    assert!(hear(voiding, 1, News::Voided).is_empty());
}

#[test]
fn a_stuck_refund_that_went_through_after_all_is_done() {
    let id = RefundId::new();

    let done = hear(stuck_refund(id), 1, News::Refunded { refund: id, amount: eur(2500) });

    assert_eq!(done.next.state, PaymentState::Refunded);
    assert_eq!(done.facts, [PaymentFact::Refunded { refund: id, amount: eur(2500) }]);
}
