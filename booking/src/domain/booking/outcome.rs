//! What payment's facts mean for a booking. Total on purpose: inside a saga a refusal is a fact, since an error would be
//! redelivered for ever.

use chrono::{DateTime, Utc};
use common::money::Money;

use super::{Booking, BookingFact, BookingState, CancelCause, ClaimChange, Decision, EventCheck, TicketChange};

/// Whose the claims of a paying booking are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimCheck {
    /// All of them still ours.
    Ours,
    /// They were given back or lapsed, and all of them were taken again just now.
    Retaken,
    /// At least one is another's.
    Gone,
}

/// An authorised payment, as payment told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorised {
    /// Which attempt.
    pub attempt: u32,
    /// What the provider holds.
    pub amount: Money,
}

impl Booking {
    /// Answers an authorised payment: confirms while the seats are ours (or all free again), else lets the money go.
    pub fn answer_authorisation(&self, payment: Authorised, event: EventCheck, claims: ClaimCheck) -> Decision {
        let attempt = payment.attempt;
        match self.state {
            BookingState::Paying { attempt: current, .. } if current == attempt => {
                self.answer_current(payment, event, claims)
            }
            BookingState::Paying { .. } => self.void(attempt, "another attempt is current"),
            // Told once more about the attempt that sold it.
            BookingState::Confirmed { attempt: sold } | BookingState::Cancelled { sold: Some(sold), .. }
                if sold == attempt =>
            {
                self.unchanged()
            }
            BookingState::Held { .. }
            | BookingState::Confirmed { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => self.void(attempt, "the booking is not waiting for it"),
        }
    }

    fn answer_current(&self, payment: Authorised, event: EventCheck, claims: ClaimCheck) -> Decision {
        let cause = CancelCause::EventCancelled;
        let let_go = |state, fact, reason| {
            self.end(state, vec![fact, BookingFact::VoidRequested { attempt: payment.attempt, reason }])
        };
        if payment.amount != self.total {
            return let_go(BookingState::Expired, BookingFact::Expired, "another amount was authorised");
        }
        if event.is_cancelled() {
            let state = BookingState::Cancelled { cause, sold: None };
            return let_go(state, BookingFact::Cancelled { cause }, "the event was cancelled");
        }
        match claims {
            ClaimCheck::Ours | ClaimCheck::Retaken => self.confirm_with(payment.attempt),
            ClaimCheck::Gone => {
                let_go(BookingState::Expired, BookingFact::Expired, "the seats could not be taken again")
            }
        }
    }

    /// Answers a declined attempt: back to the hold while it lasts.
    pub fn answer_decline(&self, attempt: u32, code: &str, event: EventCheck, now: DateTime<Utc>) -> Decision {
        let BookingState::Paying { attempt: current, expires_at, .. } = self.state else {
            return self.unchanged();
        };
        if current != attempt {
            return self.unchanged();
        }
        let mut declined = self.clone();
        declined.decline_code = Some(code.to_owned());
        if event.is_cancelled() {
            let cause = CancelCause::EventCancelled;
            return declined.end(BookingState::Cancelled { cause, sold: None }, vec![BookingFact::Cancelled { cause }]);
        }
        if expires_at <= now {
            return declined.end(BookingState::Expired, vec![BookingFact::Expired]);
        }
        declined.state = BookingState::Held { expires_at };
        Decision { next: declined, claims: ClaimChange::Until(expires_at), tickets: TicketChange::Keep, facts: vec![] }
    }

    /// Answers a capture that failed for good: the tickets die and the seats go back, except those of people who are in
    /// already. Already cancelled: no effect.
    pub fn answer_capture_failure(&self, attempt: u32, now: DateTime<Utc>) -> Decision {
        let cause = CancelCause::CaptureFailed;
        match self.state {
            BookingState::Confirmed { attempt: sold } if sold == attempt => {
                self.clone().call_off(cause, sold, None, now)
            }
            BookingState::Confirmed { .. }
            | BookingState::Held { .. }
            | BookingState::Paying { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => self.unchanged(),
        }
    }
}
