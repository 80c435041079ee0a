//! A booking's states, and its transitions as functions. A transition says what is to be written; the store writes all or
//! nothing of it under the booking's row lock.
//!
//! - `command`: what customers and box offices want
//! - `passing`: what time and the event's cancellation bring about
//! - `outcome`: what payment's facts mean
//! - `refund`: money that goes back, with or without places
//! - `item`: one seat or place, and what is left of its price
//! - `decision`: what a transition wants written

use chrono::{DateTime, Duration, Utc};
use common::ids::{BookingId, EventId};
use common::money::Money;

mod command;
mod decision;
#[cfg(test)]
pub(crate) mod fixtures;
mod item;
mod outcome;
mod passing;
#[cfg(test)]
mod properties;
mod refund;
#[cfg(test)]
mod tests;

pub use command::CommandError;
pub use decision::{BookingFact, ClaimChange, Decision, TicketChange};
pub use item::Item;
pub use outcome::{Authorised, ClaimCheck};
pub use refund::{RefundWish, RefundWishError};

/// Settings that the rules need.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long a hold lasts.
    pub hold: Duration,
    /// How much longer while it is being paid, once.
    pub grace: Duration,
    /// Whether payment tokens must be the simulated provider's.
    pub test_tokens_only: bool,
}

/// Where a booking stands; each state holds only what is true in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingState {
    /// Seats are ours until then.
    Held {
        /// End of the hold.
        expires_at: DateTime<Utc>,
    },
    /// An attempt to pay is under way; left only on its own outcome.
    Paying {
        /// Which attempt.
        attempt: u32,
        /// End of the hold that a declined attempt returns to.
        expires_at: DateTime<Utc>,
        /// Until when the seats stay ours while the outcome is awaited.
        grace_until: DateTime<Utc>,
        /// False once the grace was over and the claims were given back.
        claims_held: bool,
    },
    /// Sold.
    Confirmed {
        /// The authorised attempt; 0 when there was nothing to pay.
        attempt: u32,
    },
    /// Called off.
    Cancelled {
        /// Why.
        cause: CancelCause,
        /// The attempt it had been sold by; none when it never was.
        sold: Option<u32>,
    },
    /// The hold lapsed.
    Expired,
    /// Let go by the customer.
    Released,
}

impl BookingState {
    /// The stored and told name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Held { .. } => "HELD",
            Self::Paying { .. } => "PAYING",
            Self::Confirmed { .. } => "CONFIRMED",
            Self::Cancelled { .. } => "CANCELLED",
            Self::Expired => "EXPIRED",
            Self::Released => "RELEASED",
        }
    }
}

/// Why a booking was called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelCause {
    /// Its customer wanted so.
    Customer,
    /// A box office gave all of its money back.
    Admin,
    /// The event was cancelled.
    EventCancelled,
    /// The authorised money could not be captured.
    CaptureFailed,
}

impl CancelCause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Customer, Self::Admin, Self::EventCancelled, Self::CaptureFailed];

    /// The stored and told name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Admin => "ADMIN",
            Self::EventCancelled => "EVENT_CANCELLED",
            Self::CaptureFailed => "CAPTURE_FAILED",
        }
    }

    /// Reads the stored name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// A booking of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Its id.
    pub id: BookingId,
    /// The event.
    pub event_id: EventId,
    /// Subject of the customer's token.
    pub customer_id: String,
    /// Where it stands.
    pub state: BookingState,
    /// Seats and places, in the order asked for, with those that were cancelled.
    pub items: Vec<Item>,
    /// What all of it cost.
    pub total: Money,
    /// Attempts to pay so far.
    pub attempts: u32,
    /// Why the last attempt was declined.
    pub decline_code: Option<String>,
    /// Facts told so far.
    pub sequence: i64,
    /// Fence of its claims.
    pub fence: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// The event, as far as transitions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCheck {
    /// Since when it is cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
}

impl EventCheck {
    /// Whether it is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled_at.is_some()
    }
}
