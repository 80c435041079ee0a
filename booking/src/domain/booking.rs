//! A booking's states, and its transitions as functions. A transition says what is to be written; the store writes all or
//! nothing of it under the booking's row lock.

use chrono::{DateTime, Duration, Utc};
use common::ids::{AreaId, BookingId, EventId, ItemId, RefundId, SeatId};
use common::money::Money;
use common::test_token::TestToken;

/// How long after its grace a late authorisation may still take its seats again.
const LATE_MAX: Duration = Duration::hours(24);

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
    /// The event was cancelled.
    EventCancelled,
    /// The authorised money could not be captured.
    CaptureFailed,
}

impl CancelCause {
    /// The stored and told name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::EventCancelled => "EVENT_CANCELLED",
            Self::CaptureFailed => "CAPTURE_FAILED",
        }
    }

    /// Reads the stored name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Customer, Self::EventCancelled, Self::CaptureFailed].into_iter().find(|cause| cause.name() == name)
    }
}

/// One seat, or one place of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// The seat, or none for an area place.
    pub seat_id: Option<SeatId>,
    /// The area, or none for a seat.
    pub area_id: Option<AreaId>,
    /// For people.
    pub label: String,
    /// Price when it was held.
    pub price: Money,
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
    /// Seats and places, in the order asked for.
    pub items: Vec<Item>,
    /// What all of it costs.
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
    RefundRequested { refund_id: RefundId, amount: Money, reason: &'static str },
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
    /// They are free again.
    GiveBack,
}

/// What happens to the tickets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketChange {
    /// Nothing.
    Keep,
    /// One per item.
    Issue,
    /// All of them become void.
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
    #[error("the event has started")]
    EventStarted,
    /// The provider does not know this token.
    #[error("unknown payment token")]
    UnknownToken,
}

/// The event, as far as transitions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCheck {
    /// Whether it is cancelled.
    pub cancelled: bool,
    /// When it starts.
    pub starts_at: DateTime<Utc>,
}

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
    /// Whether a read shows it as expired: a lapsed hold reads so before any sweeper comes by.
    pub fn lapsed(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state, BookingState::Held { expires_at } if expires_at <= now)
    }

    /// Starts an attempt to pay; a total of zero confirms without the provider.
    pub fn pay(
        &self,
        token: &str,
        event: EventCheck,
        now: DateTime<Utc>,
        terms: Terms,
    ) -> Result<Decision, CommandError> {
        let BookingState::Held { expires_at } = self.state else {
            return Err(self.refuse_state("paid"));
        };
        if expires_at <= now {
            return Err(CommandError::HoldExpired);
        }
        if event.cancelled {
            return Err(CommandError::EventCancelled);
        }
        if self.total.is_zero() {
            return Ok(self.confirm_with(0));
        }
        if terms.test_tokens_only && TestToken::parse(token).is_none() {
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
        let BookingState::Held { expires_at } = self.state else {
            return Err(self.refuse_state("released"));
        };
        if expires_at <= now {
            return Err(CommandError::HoldExpired);
        }
        Ok(self.end(BookingState::Released, vec![BookingFact::Released]))
    }

    /// Calls a confirmed booking off for its customer, with all its money back.
    pub fn cancel(&self, event: EventCheck, now: DateTime<Utc>) -> Result<Decision, CommandError> {
        if self.lapsed(now) {
            return Err(CommandError::HoldExpired);
        }
        let BookingState::Confirmed { .. } = self.state else {
            return Err(self.refuse_state("cancelled"));
        };
        if event.starts_at <= now {
            return Err(CommandError::EventStarted);
        }
        Ok(self.call_off(CancelCause::Customer, "cancelled by the customer"))
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
    pub fn end_with_event(&self) -> Option<Decision> {
        match self.state {
            BookingState::Held { .. } => {
                let cause = CancelCause::EventCancelled;
                Some(self.end(BookingState::Cancelled { cause }, vec![BookingFact::Cancelled { cause }]))
            }
            BookingState::Confirmed { .. } => {
                Some(self.call_off(CancelCause::EventCancelled, "the event was cancelled"))
            }
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

    /// Answers an authorised payment: confirms while the seats are ours (or all free again), else lets the money go.
    /// Total on purpose: inside a saga a refusal is a fact, since an error would be redelivered for ever.
    pub fn answer_authorisation(&self, payment: Authorised, event: EventCheck, claims: ClaimCheck) -> Decision {
        let attempt = payment.attempt;
        let BookingState::Paying { attempt: current, .. } = self.state else {
            return match self.state {
                BookingState::Confirmed { attempt: sold } if sold == attempt => self.unchanged(),
                BookingState::Confirmed { .. }
                | BookingState::Held { .. }
                | BookingState::Paying { .. }
                | BookingState::Cancelled { .. }
                | BookingState::Expired
                | BookingState::Released => self.void(attempt, "the booking is not waiting for it"),
            };
        };
        if current != attempt {
            return self.void(attempt, "another attempt is current");
        }
        if payment.amount != self.total {
            let facts = vec![
                BookingFact::Expired,
                BookingFact::VoidRequested { attempt, reason: "another amount was authorised" },
            ];
            return self.end(BookingState::Expired, facts);
        }
        if event.cancelled {
            let cause = CancelCause::EventCancelled;
            let facts = vec![
                BookingFact::Cancelled { cause },
                BookingFact::VoidRequested { attempt, reason: "the event was cancelled" },
            ];
            return self.end(BookingState::Cancelled { cause }, facts);
        }
        match claims {
            ClaimCheck::Ours | ClaimCheck::Retaken => self.confirm_with(attempt),
            ClaimCheck::Gone => {
                let facts = vec![
                    BookingFact::Expired,
                    BookingFact::VoidRequested { attempt, reason: "the seats were given to others" },
                ];
                self.end(BookingState::Expired, facts)
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
        if event.cancelled {
            let cause = CancelCause::EventCancelled;
            return declined.end(BookingState::Cancelled { cause }, vec![BookingFact::Cancelled { cause }]);
        }
        if expires_at <= now {
            return declined.end(BookingState::Expired, vec![BookingFact::Expired]);
        }
        declined.state = BookingState::Held { expires_at };
        Decision { next: declined, claims: ClaimChange::Until(expires_at), tickets: TicketChange::Keep, facts: vec![] }
    }

    /// Answers a capture that failed for good: the tickets die and the seats go back. Already cancelled: no effect.
    pub fn answer_capture_failure(&self, attempt: u32) -> Decision {
        let cause = CancelCause::CaptureFailed;
        match self.state {
            BookingState::Confirmed { attempt: sold } if sold == attempt => {
                self.end(BookingState::Cancelled { cause }, vec![BookingFact::Cancelled { cause }])
            }
            BookingState::Confirmed { .. }
            | BookingState::Held { .. }
            | BookingState::Paying { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => self.unchanged(),
        }
    }

    /// Nothing to write.
    pub fn unchanged(&self) -> Decision {
        Decision { next: self.clone(), claims: ClaimChange::Keep, tickets: TicketChange::Keep, facts: vec![] }
    }

    fn void(&self, attempt: u32, reason: &'static str) -> Decision {
        Decision { facts: vec![BookingFact::VoidRequested { attempt, reason }], ..self.unchanged() }
    }

    fn confirm_with(&self, attempt: u32) -> Decision {
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

    /// Ends a confirmed booking with all its money back.
    fn call_off(&self, cause: CancelCause, reason: &'static str) -> Decision {
        let mut facts = vec![BookingFact::Cancelled { cause }];
        if !self.total.is_zero() {
            facts.push(BookingFact::RefundRequested { refund_id: RefundId::new(), amount: self.total, reason });
        }
        self.end(BookingState::Cancelled { cause }, facts)
    }

    fn end(&self, state: BookingState, facts: Vec<BookingFact>) -> Decision {
        let claims = match self.state {
            BookingState::Paying { claims_held: false, .. } => ClaimChange::Keep,
            BookingState::Held { .. }
            | BookingState::Paying { .. }
            | BookingState::Confirmed { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => ClaimChange::GiveBack,
        };
        let tickets = match self.state {
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

    fn refuse_state(&self, wanted: &'static str) -> CommandError {
        CommandError::InvalidState { found: self.state.name(), wanted }
    }
}
