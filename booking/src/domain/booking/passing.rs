//! What passing time and a cancelled event bring about.

use chrono::{DateTime, Duration, Utc};

use super::{Booking, BookingFact, BookingState, CancelCause, ClaimChange, Decision, EventCheck, TicketChange};

/// How long after its grace a late authorisation may still take its seats again.
const LATE_MAX: Duration = Duration::hours(24);

impl Booking {
    /// Whether a read shows it as expired: a lapsed hold reads so before any sweeper comes by.
    pub fn lapsed(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state, BookingState::Held { expires_at } if expires_at <= now)
    }

    /// What the sweeper does with a hold that lapsed; `None` when it did not.
    pub fn expire(&self, now: DateTime<Utc>) -> Option<Decision> {
        self.lapsed(now).then(|| self.end(BookingState::Expired, vec![BookingFact::Expired]))
    }

    /// What the sweeper does when the grace of a paying booking is over: the claims go back, the booking stays Paying until
    /// its outcome is known.
    pub fn end_grace(&self, now: DateTime<Utc>) -> Option<Decision> {
        let BookingState::Paying { attempt, expires_at, grace_until, claims_held: true } = self.state else {
            return None;
        };
        if grace_until > now {
            return None;
        }
        let mut next = self.clone();
        next.state = BookingState::Paying { attempt, expires_at, grace_until, claims_held: false };
        Some(Decision { next, claims: ClaimChange::GiveBack, tickets: TicketChange::Keep, facts: vec![] })
    }

    /// What the sweeper does with a booking of a cancelled event; `None` when there is nothing to end now.
    pub fn end_with_event(&self, now: DateTime<Utc>) -> Option<Decision> {
        let cause = CancelCause::EventCancelled;
        match self.state {
            // Reads have told it as expired since it lapsed; a state once told is not taken back.
            BookingState::Held { .. } if self.lapsed(now) => self.expire(now),
            BookingState::Held { .. } => {
                Some(self.end(BookingState::Cancelled { cause, sold: None }, vec![BookingFact::Cancelled { cause }]))
            }
            BookingState::Confirmed { attempt } => Some(self.call_off(cause, attempt, "the event was cancelled")),
            BookingState::Paying { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => None,
        }
    }

    /// Whether a late authorisation may try to take its seats again.
    pub fn may_retake(&self, event: EventCheck, now: DateTime<Utc>) -> bool {
        matches!(self.state, BookingState::Paying { grace_until, .. }
            if !event.cancelled && event.starts_at > now && now <= grace_until + LATE_MAX)
    }
}
