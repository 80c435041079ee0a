//! Tables of states × facts and states × answers, and thousands of random interleavings.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::ids::{PaymentId, RefundId};
use common::money::{Currency, Money};

use super::*;

mod interleavings;
mod notices;
mod retries;
mod tables;

const PATIENCE: Patience =
    Patience { first: Duration::from_millis(200), longest: Duration::from_secs(5), refusals_max: 3 };

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
}

fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("EUR").unwrap()).unwrap()
}

fn refused(code: &str) -> Outcome {
    Outcome::Refused { code: code.to_owned() }
}

fn unknown() -> Outcome {
    Outcome::Unknown { reason: "timeout".to_owned() }
}

fn opened() -> Payment {
    Payment::open(PaymentId::new(), "alice".to_owned(), eur(2500)).next
}

/// Answers the current step.
fn answer(payment: Payment, outcome: Outcome) -> Decision {
    let ordinal = payment.current_step().expect("a step is under way").ordinal;
    payment.answer(ordinal, outcome, &PATIENCE, now())
}

fn requested(payment: Payment, attempt: u32) -> Payment {
    payment.authorise(attempt, eur(2500), "tok".to_owned()).unwrap().next
}

fn authorised() -> Payment {
    answer(requested(opened(), 1), Outcome::Done).next
}

fn captured() -> Payment {
    answer(authorised().confirm(1, eur(2500)).unwrap().next, Outcome::Done).next
}

fn refund(payment: Payment, id: RefundId, amount_minor: i64) -> Result<Decision, Impossible> {
    payment.give_back(id, eur(amount_minor), "cancelled".to_owned())
}

/// A payment in every state, reached as it is reached in life.
fn in_state(state: PaymentState) -> Payment {
    let payment = match state {
        PaymentState::Open => opened(),
        PaymentState::Authorising => requested(opened(), 1),
        PaymentState::Authorised => authorised(),
        PaymentState::Declined => answer(requested(opened(), 1), refused("CARD_DECLINED")).next,
        PaymentState::Captured => captured(),
        PaymentState::PartlyRefunded => {
            answer(refund(captured(), RefundId::new(), 500).unwrap().next, Outcome::Done).next
        }
        PaymentState::Refunded => answer(refund(captured(), RefundId::new(), 2500).unwrap().next, Outcome::Done).next,
        PaymentState::Voided => answer(authorised().void(1).unwrap().next, Outcome::Done).next,
        PaymentState::Closed => opened().booking_ended("BookingExpired").next,
    };
    assert_eq!(payment.state, state);
    payment
}
