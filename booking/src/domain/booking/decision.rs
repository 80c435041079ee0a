//! What a transition wants written, and the pieces that decisions share.

use chrono::{DateTime, Utc};
use common::ids::RefundId;
use common::money::Money;

use super::{Booking, BookingState, CancelCause};

/// A fact to tell, in the order told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BookingFact {
    /// See `eventix.booking.v1.BookingHeld`; likewise below.
    Held { expires_at: DateTime<Utc> },
    /// Authorise once for this attempt.
    PaymentRequested { attempt: u32, payment_token: String },
    /// Capture this attempt.
    Confirmed { attempt: u32 },
    /// The hold lapsed.
    Expired,
    /// The customer let it go.
    Released,
    /// It was called off.
    Cancelled { cause: CancelCause },
    /// Let the authorised money go.
    VoidRequested { attempt: u32, reason: &'static str },
    /// Give captured money back.
    RefundRequested { refund_id: RefundId, amount: Money, reason: String },
}

/// What happens to the claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimChange {
    /// Nothing.
    Keep,
    /// They stay ours until then, under a new fence.
    Until(DateTime<Utc>),
    /// They are sold.
    Sell,
    /// They are free again: of a sold booking those of the items it gives up, of any other all.
    GiveBack,
}

/// What happens to the tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketChange {
    /// Nothing.
    Keep,
    /// One per item.
    Issue,
    /// Those of the items given up become void; refused when one was used.
    VoidUnused,
    /// Those of the items given up become void, used ones too. A used seat is not sold again.
    Void,
}

/// What a transition wants written, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The booking afterwards.
    pub next: Booking,
    /// What happens to its claims.
    pub claims: ClaimChange,
    /// What happens to its tickets.
    pub tickets: TicketChange,
    /// What is told, in order.
    pub facts: Vec<BookingFact>,
}

impl Booking {
    /// Nothing to write.
    pub(super) fn unchanged(&self) -> Decision {
        Decision { next: self.clone(), claims: ClaimChange::Keep, tickets: TicketChange::Keep, facts: vec![] }
    }

    pub(super) fn void(&self, attempt: u32, reason: &'static str) -> Decision {
        Decision { facts: vec![BookingFact::VoidRequested { attempt, reason }], ..self.unchanged() }
    }

    pub(super) fn confirm_with(&self, attempt: u32) -> Decision {
        let mut next = self.clone();
        next.state = BookingState::Confirmed { attempt };
        next.decline_code = None;
        Decision {
            next,
            claims: ClaimChange::Sell,
            tickets: TicketChange::Issue,
            facts: vec![BookingFact::Confirmed { attempt }],
        }
    }

    /// Ends a booking that was sold by `attempt`, with every item of it; its refund came off the items before.
    pub(super) fn call_off(
        mut self,
        cause: CancelCause,
        attempt: u32,
        refund: Option<BookingFact>,
        now: DateTime<Utc>,
    ) -> Decision {
        self.cancel_items(now);
        let facts = std::iter::once(BookingFact::Cancelled { cause }).chain(refund).collect();
        self.end(BookingState::Cancelled { cause, sold: Some(attempt) }, facts)
    }

    pub(super) fn end(&self, state: BookingState, facts: Vec<BookingFact>) -> Decision {
        let claims = match self.state {
            BookingState::Paying { claims_held: false, .. } => ClaimChange::Keep,
            BookingState::Held { .. }
            | BookingState::Paying { .. }
            | BookingState::Confirmed { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => ClaimChange::GiveBack,
        };
        // Who has been let in has had what was paid for.
        let by_choice =
            matches!(state, BookingState::Cancelled { cause: CancelCause::Customer | CancelCause::Admin, .. });
        let tickets = match self.state {
            BookingState::Confirmed { .. } if by_choice => TicketChange::VoidUnused,
            BookingState::Confirmed { .. } => TicketChange::Void,
            BookingState::Held { .. }
            | BookingState::Paying { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => TicketChange::Keep,
        };
        let mut next = self.clone();
        next.state = state;
        Decision { next, claims, tickets, facts }
    }
}
