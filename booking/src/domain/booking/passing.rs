//! What passing time and a cancelled event bring about.

use chrono::{DateTime, Duration, Utc};

use super::{Booking, BookingFact, BookingState, CancelCause, ClaimChange, Decision, EventCheck, Item, TicketChange};

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

    /// What the sweeper does with a booking of a cancelled event; `None` when there is nothing to end or to give back now. All
    /// money goes back, also what was kept of items cancelled since the event was.
    pub fn end_with_event(&self, event: EventCheck, now: DateTime<Utc>) -> Option<Decision> {
        let since = event.cancelled_at?;
        let (cause, reason) = (CancelCause::EventCancelled, "the event was cancelled");
        match self.state {
            // Reads have told it as expired since it lapsed; a state once told is not taken back.
            BookingState::Held { .. } if self.lapsed(now) => self.expire(now),
            BookingState::Held { .. } => {
                Some(self.end(BookingState::Cancelled { cause, sold: None }, vec![BookingFact::Cancelled { cause }]))
            }
            BookingState::Confirmed { attempt } => {
                let owed = |item: &Item| item.cancelled_at.is_none_or(|at| at >= since);
                let mut next = self.clone();
                let refund = next.take_off(self.left_of(owed), reason, owed);
                Some(next.call_off(cause, attempt, refund, now))
            }
            BookingState::Cancelled { .. } => self.refund_kept(since, reason),
            BookingState::Paying { .. } | BookingState::Expired | BookingState::Released => None,
        }
    }

    /// Whether a late authorisation may try to take its seats again.
    pub fn may_retake(&self, event: EventCheck, now: DateTime<Utc>) -> bool {
        matches!(self.state, BookingState::Paying { grace_until, .. }
            if !event.is_cancelled() && event.starts_at > now && now <= grace_until + LATE_MAX)
    }
}
