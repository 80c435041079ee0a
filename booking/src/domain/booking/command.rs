//! What customers command, and box offices for them: pay, release, cancel.

use chrono::{DateTime, Utc};
use common::ids::ItemId;
use common::money::Money;
use common::test_token::TestToken;

use super::{
    Booking, BookingFact, BookingState, CancelCause, ClaimChange, Decision, EventCheck, Item, Terms, TicketChange,
};
use crate::domain::policy::Policy;

/// Why a command is refused; names the state found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The hold is over.
    #[error("the hold is over")]
    HoldExpired,
    /// Not from this state.
    #[error("a booking in state {found} cannot be {wanted}")]
    InvalidState {
        /// Found.
        found: &'static str,
        /// What was wanted, for instance `paid`.
        wanted: &'static str,
    },
    /// The event is off.
    #[error("the event is cancelled")]
    EventCancelled,
    /// Too late to cancel.
    #[error("the event has started, its bookings cannot be cancelled any more")]
    PolicyForbids,
    /// More than can go back.
    #[error("at most {left} can still be refunded")]
    RefundExceeds {
        /// What is left.
        left: Money,
    },
    /// Not an item of this booking.
    #[error("item {0} is not part of this booking")]
    NoSuchItem(ItemId),
    /// It was given up before.
    #[error("item {0} is cancelled already")]
    ItemCancelled(ItemId),
    /// The provider does not know this token.
    #[error("unknown payment token")]
    UnknownToken,
}

/// Longest payment token: providers that encrypt into theirs need some thousand bytes.
const TOKEN_BYTES_MAX: usize = 8 * 1024;

impl Booking {
    /// Starts an attempt to pay; a total of zero confirms without the provider, whatever the token is.
    pub fn pay(
        &self,
        token: &str,
        event: EventCheck,
        now: DateTime<Utc>,
        terms: Terms,
    ) -> Result<Decision, CommandError> {
        let expires_at = self.held_until("paid", now)?;
        if event.is_cancelled() {
            return Err(CommandError::EventCancelled);
        }
        if self.total.is_zero() {
            return Ok(self.confirm_with(0));
        }
        let malformed = token.is_empty() || token.len() > TOKEN_BYTES_MAX || token.chars().any(char::is_control);
        if malformed || terms.test_tokens_only && TestToken::parse(token).is_none() {
            return Err(CommandError::UnknownToken);
        }
        let attempt = self.attempts + 1;
        // Always counted from the hold's own end, so that attempts cannot extend it again and again.
        let grace_until = expires_at + terms.grace;
        let mut next = self.clone();
        next.attempts = attempt;
        next.decline_code = None;
        next.state = BookingState::Paying { attempt, expires_at, grace_until, claims_held: true };
        Ok(Decision {
            next,
            claims: ClaimChange::Until(grace_until),
            tickets: TicketChange::Keep,
            facts: vec![BookingFact::PaymentRequested { attempt, payment_token: token.to_owned() }],
        })
    }

    /// Lets a hold go.
    pub fn release(&self, now: DateTime<Utc>) -> Result<Decision, CommandError> {
        self.held_until("released", now)?;
        Ok(self.end(BookingState::Released, vec![BookingFact::Released]))
    }

    /// Calls a confirmed booking off for its customer, with what the policy gives back: perhaps nothing. When the event itself
    /// is cancelled, no policy keeps anything.
    pub fn cancel(&self, policy: &Policy, event: EventCheck, now: DateTime<Utc>) -> Result<Decision, CommandError> {
        let BookingState::Confirmed { attempt } = self.state else { return Err(self.refused("cancelled", now)) };
        let left = self.left_of(Item::is_live);
        let refund_minor = if event.is_cancelled() {
            left.amount_minor()
        } else if event.starts_at <= now {
            return Err(CommandError::PolicyForbids);
        } else {
            policy.refund_minor(left.amount_minor(), event.starts_at - now)
        };
        let refund = Money::new(refund_minor, left.currency()).unwrap_or(left);
        let mut next = self.clone();
        let refund = next.take_off(refund, "cancelled by the customer", Item::is_live);
        Ok(next.call_off(CancelCause::Customer, attempt, refund, now))
    }

    /// Not from this state, as callers see it.
    pub(super) fn refused(&self, wanted: &'static str, now: DateTime<Utc>) -> CommandError {
        let found = if self.lapsed(now) { BookingState::Expired.name() } else { self.state.name() };
        CommandError::InvalidState { found, wanted }
    }

    /// The end of a hold that still runs. A lapsed hold is told as expired whether or not the sweeper has come by, so both
    /// get the same refusal.
    fn held_until(&self, wanted: &'static str, now: DateTime<Utc>) -> Result<DateTime<Utc>, CommandError> {
        match self.state {
            BookingState::Held { expires_at } if expires_at > now => Ok(expires_at),
            BookingState::Held { .. } | BookingState::Expired => Err(CommandError::HoldExpired),
            BookingState::Paying { .. }
            | BookingState::Confirmed { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Released => Err(CommandError::InvalidState { found: self.state.name(), wanted }),
        }
    }
}
