//! What each fact and each answer does in each state.

use super::*;
use PaymentState::{Authorised, Authorising, Captured, Closed, Declined, Open, PartlyRefunded, Refunded, Voided};

#[test]
fn a_new_attempt_is_authorised_from_open_and_declined_alone() {
    for &state in PaymentState::ALL {
        let decided = in_state(state).authorise(2, eur(2500), "tok".to_owned());

        match state {
            Open | Declined => {
                let next = decided.unwrap().next;
                assert_eq!((next.state, next.attempt), (Authorising, 2));
                assert_eq!(next.current_step().map(|s| (s.kind(), s.attempt)), Some((StepKind::Authorise, 2)));
            }
            Authorising | Authorised | Captured | PartlyRefunded | Refunded | Voided | Closed => {
                assert_eq!(decided, Err(Impossible::State { what: "PaymentRequested", state }));
            }
        }
    }
}

#[test]
fn the_same_and_older_attempts_are_asked_for_once() {
    for state in [Authorising, Authorised, Declined, Captured, PartlyRefunded, Refunded, Voided] {
        let decision = in_state(state).authorise(1, eur(2500), "tok".to_owned()).unwrap();

        assert!(decision.is_empty(), "{state:?}");
    }
}

#[test]
fn another_amount_is_never_authorised() {
    for amount in [eur(2499), eur(0), Money::new(2500, Currency::parse("JPY").unwrap()).unwrap()] {
        let decided = opened().authorise(1, amount, "tok".to_owned());

        assert!(matches!(decided, Err(Impossible::Amount { .. })), "{amount}");
    }
}

#[test]
fn only_the_authorised_attempt_is_captured() {
    for &state in PaymentState::ALL {
        let decided = in_state(state).confirm(1, eur(2500));

        match state {
            Authorised => {
                let next = decided.unwrap().next;
                assert_eq!(next.current_step().map(Step::kind), Some(StepKind::Capture));
            }
            Captured | PartlyRefunded | Refunded => assert!(decided.unwrap().is_empty(), "{state:?}"),
            Open | Authorising | Declined | Voided | Closed => {
                assert_eq!(decided, Err(Impossible::State { what: "BookingConfirmed", state }));
            }
        }
    }
    assert!(matches!(authorised().confirm(2, eur(2500)), Err(Impossible::Attempt { attempt: 2, .. })));
    assert!(matches!(authorised().confirm(1, eur(2400)), Err(Impossible::Amount { .. })));
    let voiding = authorised().void(1).unwrap().next;
    assert!(matches!(voiding.confirm(1, eur(2500)), Err(Impossible::Attempt { .. })));
}

#[test]
fn a_booking_without_a_price_closes_its_payment_without_the_provider() {
    let free = Payment::open(PaymentId::new(), "alice".to_owned(), eur(0)).next;

    let next = free.confirm(0, eur(0)).unwrap().next;

    assert_eq!(next.state, Closed);
    assert!(next.steps.is_empty());
    assert!(next.confirm(0, eur(0)).unwrap().is_empty());
    assert!(matches!(opened().confirm(0, eur(0)), Err(Impossible::State { .. })));
}

#[test]
fn the_end_of_a_booking_closes_what_was_never_paid_and_moves_no_money() {
    for &state in PaymentState::ALL {
        let decision = in_state(state).booking_ended("BookingExpired");

        assert!(decision.movements.is_empty() && decision.facts.is_empty());
        match state {
            Open | Declined => assert_eq!(decision.next.state, Closed),
            Authorising | Authorised | Captured | PartlyRefunded | Refunded | Voided | Closed => {
                assert!(decision.is_empty(), "{state:?}");
            }
        }
    }
}

#[test]
fn an_attempt_is_voided_once_and_never_after_its_capture_was_asked_for() {
    for &state in PaymentState::ALL {
        let decided = in_state(state).void(1);

        match state {
            Authorising | Authorised | Declined => {
                let next = decided.unwrap().next;
                assert_eq!(next.steps.last().map(Step::kind), Some(StepKind::Void));
                assert!(next.void(1).unwrap().is_empty());
            }
            Voided => assert!(decided.unwrap().is_empty()),
            Captured | PartlyRefunded | Refunded => {
                assert_eq!(decided, Err(Impossible::State { what: "VoidRequested", state }));
            }
            Open | Closed => assert!(matches!(decided, Err(Impossible::Attempt { attempt: 1, .. }))),
        }
    }
}

#[test]
fn a_refund_without_a_capture_is_refused_or_gives_nothing_back_and_says_so() {
    for state in [Open, Authorising, Authorised, Declined] {
        let decided = refund(in_state(state), RefundId::new(), 2500);

        assert_eq!(decided, Err(Impossible::State { what: "RefundRequested", state }));
    }
    for state in [Voided, Closed] {
        let id = RefundId::new();

        let decision = refund(in_state(state), id, 2500).unwrap();

        assert_eq!(decision.facts, [PaymentFact::Refunded { refund: id, amount: eur(0) }], "{state:?}");
        assert_eq!(decision.alarms, [Alarm::NothingToRefund { refund: id }]);
        assert!(decision.movements.is_empty());
    }
}

#[test]
fn refunds_never_exceed_the_capture() {
    let once = refund(captured(), RefundId::new(), 2000).unwrap().next;

    assert!(matches!(refund(once.clone(), RefundId::new(), 501), Err(Impossible::Amount { .. })));
    assert!(matches!(refund(once.clone(), RefundId::new(), 0), Err(Impossible::Amount { .. })));
    assert!(refund(once, RefundId::new(), 500).is_ok());
}

#[test]
fn a_refund_id_gives_back_once() {
    let id = RefundId::new();
    let once = refund(captured(), id, 500).unwrap().next;

    assert!(refund(once.clone(), id, 500).unwrap().is_empty());
    assert!(matches!(refund(once, id, 400), Err(Impossible::Amount { .. })));
}

#[test]
fn a_refund_waits_for_its_capture() {
    let id = RefundId::new();
    let capturing = authorised().confirm(1, eur(2500)).unwrap().next;
    let waiting = refund(capturing, id, 2500).unwrap().next;
    assert_eq!(waiting.refunds[0].state, RefundState::Waiting);
    assert_eq!(waiting.current_step().map(Step::kind), Some(StepKind::Capture));

    let captured = answer(waiting, Outcome::Done).next;
    assert_eq!(captured.refunds[0].state, RefundState::Pending);
    let refunded = answer(captured, Outcome::Done);

    assert_eq!(refunded.next.state, Refunded);
    assert_eq!(refunded.facts, [PaymentFact::Refunded { refund: id, amount: eur(2500) }]);
}

#[test]
fn refunds_of_a_failed_capture_close_with_nothing_to_refund() {
    let (id, late) = (RefundId::new(), RefundId::new());
    let capturing = authorised().confirm(1, eur(2500)).unwrap().next;
    let waiting = refund(capturing, id, 2500).unwrap().next;

    let failed = answer(waiting, refused("NOT_AUTHORISED"));

    assert_eq!(failed.next.state, Closed);
    assert_eq!(failed.next.refunds[0].state, RefundState::NothingToRefund);
    assert_eq!(failed.next.current_step(), None);
    let told = [
        PaymentFact::CaptureFailed { attempt: 1, code: "NOT_AUTHORISED".to_owned() },
        PaymentFact::Refunded { refund: id, amount: eur(0) },
    ];
    assert_eq!(failed.facts, told);
    let after = refund(failed.next, late, 2500).unwrap();
    assert_eq!(after.facts, [PaymentFact::Refunded { refund: late, amount: eur(0) }]);
    assert!(after.alarms.is_empty());
}

#[test]
fn answers_are_told_as_facts() {
    let approved = answer(requested(opened(), 1), Outcome::Done);
    assert_eq!(approved.facts, [PaymentFact::Authorised { attempt: 1, amount: eur(2500) }]);

    let declined = answer(requested(opened(), 1), refused("CARD_DECLINED"));
    assert_eq!(declined.facts, [PaymentFact::Declined { attempt: 1, code: "CARD_DECLINED".to_owned() }]);
    assert_eq!(declined.next.decline_code.as_deref(), Some("CARD_DECLINED"));

    let voided = answer(authorised().void(1).unwrap().next, Outcome::Done);
    assert_eq!((voided.next.state, voided.facts), (Voided, vec![PaymentFact::Voided { attempt: 1 }]));
}

#[test]
fn an_unknown_outcome_changes_the_step_alone() {
    for asked in [
        requested(opened(), 1),
        authorised().confirm(1, eur(2500)).unwrap().next,
        authorised().void(1).unwrap().next,
        refund(captured(), RefundId::new(), 100).unwrap().next,
    ] {
        let before = asked.state;

        let decision = answer(asked, unknown());

        assert_eq!(decision.next.state, before);
        assert!(decision.facts.is_empty() && decision.movements.is_empty() && decision.alarms.is_empty());
        let step = decision.next.current_step().unwrap();
        assert_eq!(step.state, StepState::Unknown);
        assert!(step.next_try_at > now());
    }
}

#[test]
fn an_answer_to_a_finished_step_changes_nothing() {
    for outcome in [Outcome::Done, refused("CARD_DECLINED"), unknown()] {
        assert!(authorised().answer(1, outcome, &PATIENCE, now()).is_empty());
    }
}

#[test]
fn an_approval_that_is_being_voided_is_not_told() {
    let voiding = requested(opened(), 1).void(1).unwrap().next;

    let approved = answer(voiding, Outcome::Done);
    assert!(approved.facts.is_empty());
    let voided = answer(approved.next, Outcome::Done);

    assert_eq!((voided.next.state, voided.facts), (Voided, vec![PaymentFact::Voided { attempt: 1 }]));
}

#[test]
fn an_approval_nobody_waits_for_is_voided_with_an_alarm() {
    // An older attempt whose outcome comes after a newer one was asked for.
    let mut payment = requested(in_state(Declined), 2);
    payment.steps[0].state = StepState::Unknown;

    let approved = payment.answer(1, Outcome::Done, &PATIENCE, now());

    assert!(approved.facts.is_empty());
    assert_eq!(approved.alarms, [Alarm::StrayApproval { attempt: 1 }]);
    assert_eq!(approved.next.state, Authorising);
    let void = approved.next.step(StepKind::Void, 1).unwrap().ordinal;
    let voided = approved.next.answer(void, Outcome::Done, &PATIENCE, now());
    assert_eq!(voided.next.state, Authorising);
    assert!(voided.facts.is_empty() && !voided.next.is_held(1));
}

#[test]
fn a_refund_refused_too_often_is_stuck_and_does_not_hold_up_the_next() {
    let (first, second) = (RefundId::new(), RefundId::new());
    let mut payment = refund(captured(), first, 500).unwrap().next;
    payment = refund(payment, second, 700).unwrap().next;
    for _ in 1..PATIENCE.refusals_max {
        let again = answer(payment, refused("TRY_LATER"));
        assert!(again.facts.is_empty());
        payment = again.next;
    }

    let stuck = answer(payment, refused("TRY_LATER"));

    assert_eq!(stuck.next.refunds[0].state, RefundState::Stuck);
    let reason = "TRY_LATER".to_owned();
    assert_eq!(
        stuck.facts,
        [PaymentFact::Stuck { step: StepKind::Refund, refund: Some(first), reason: reason.clone() }]
    );
    assert_eq!(stuck.alarms, [Alarm::Stuck { step: StepKind::Refund, reason }]);
    let next = answer(stuck.next, Outcome::Done);
    assert_eq!(next.next.state, PartlyRefunded);
    assert!(matches!(refund(next.next, RefundId::new(), 1301), Err(Impossible::Amount { .. })));
}

#[test]
fn a_second_attempt_follows_a_decline() {
    let declined = in_state(Declined);

    let second = answer(requested(declined, 2), Outcome::Done);

    assert_eq!(second.facts, [PaymentFact::Authorised { attempt: 2, amount: eur(2500) }]);
    assert_eq!(second.next.decline_code, None);
}
