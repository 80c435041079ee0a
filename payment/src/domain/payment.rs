//! The payment of one booking: its states, which may follow which, and what it knows of its steps and refunds.

use common::ids::{PaymentId, RefundId};
use common::money::Money;

use super::refund::{Refund, RefundState};
use super::step::{Step, StepKind, StepState};

words! {
    /// Where a payment stands. Unknown and stuck are no states of their own: they are read off its steps.
    PaymentState {
        /// Amount known, nothing tried.
        Open = "open",
        /// The provider was or will be asked for the current attempt.
        Authorising = "authorising",
        /// The provider holds the money of the current attempt.
        Authorised = "authorised",
        /// The current attempt was refused; the customer may try again.
        Declined = "declined",
        /// The money was taken.
        Captured = "captured",
        /// Some of it went back.
        PartlyRefunded = "partly_refunded",
        /// All of it went back.
        Refunded = "refunded",
        /// The authorisation was let go.
        Voided = "voided",
        /// Ended without money.
        Closed = "closed",
    }
}

impl PaymentState {
    /// Every legal transition, as the history must show them.
    pub const TRANSITIONS: &'static [(Self, Self)] = &[
        (Self::Open, Self::Authorising),
        (Self::Open, Self::Closed),
        (Self::Authorising, Self::Authorised),
        (Self::Authorising, Self::Declined),
        (Self::Declined, Self::Authorising),
        (Self::Declined, Self::Voided),
        (Self::Declined, Self::Closed),
        (Self::Authorised, Self::Captured),
        (Self::Authorised, Self::Voided),
        (Self::Authorised, Self::Closed),
        (Self::Captured, Self::PartlyRefunded),
        (Self::Captured, Self::Refunded),
        (Self::PartlyRefunded, Self::Refunded),
    ];

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        Self::TRANSITIONS.contains(&(self, next))
    }
}

/// The payment of one booking, with its steps in order and its refunds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Its id, the same as its booking's.
    pub id: PaymentId,
    /// Subject of the customer's token.
    pub customer_id: String,
    /// Where it stands.
    pub state: PaymentState,
    /// What the booking costs.
    pub amount: Money,
    /// The current attempt; 0 before the first.
    pub attempt: u32,
    /// Captured so far, minor units.
    pub captured_minor: i64,
    /// Refunded so far, minor units.
    pub refunded_minor: i64,
    /// Why the current attempt was declined, or its capture refused.
    pub decline_code: Option<String>,
    /// Facts told so far.
    pub sequence: i64,
    /// Grows with every write.
    pub version: i64,
    /// What the provider had, has and will have to do, by ordinal.
    pub steps: Vec<Step>,
    /// Refunds in the order they were asked for.
    pub refunds: Vec<Refund>,
}

impl Payment {
    /// The step of a kind for an attempt. Refunds have several: this is the first.
    pub fn step(&self, kind: StepKind, attempt: u32) -> Option<&Step> {
        self.steps.iter().find(|s| s.kind() == kind && s.attempt == attempt)
    }

    /// The one capture, if it was ever asked for.
    pub fn capture(&self) -> Option<&Step> {
        self.steps.iter().find(|s| s.kind() == StepKind::Capture)
    }

    /// The step that is asked now: the earliest unfinished one.
    pub fn current_step(&self) -> Option<&Step> {
        self.steps.iter().find(|s| s.is_unfinished())
    }

    /// A refund by its key.
    pub fn refund(&self, id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|r| r.id == id)
    }

    /// What refunds in these states add up to, minor units.
    pub fn refunds_minor(&self, states: &[RefundState]) -> i64 {
        self.refunds.iter().filter(|r| states.contains(&r.state)).map(|r| r.amount.amount_minor()).sum()
    }

    /// Whether the provider still holds this attempt's money.
    pub fn is_held(&self, attempt: u32) -> bool {
        let done = |kind| self.step(kind, attempt).is_some_and(|s| s.state == StepState::Done);
        let capture_over = self.step(StepKind::Capture, attempt).is_some_and(|s| !s.is_unfinished());
        done(StepKind::Authorise) && !done(StepKind::Void) && !capture_over
    }
}
