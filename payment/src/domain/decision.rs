//! What a decision on a payment wants written and told, all or nothing.

use chrono::DateTime;
use common::ids::{RefundId, StepId};
use common::money::Money;

use super::ledger::{Movement, MovementKind};
use super::payment::{Payment, PaymentState};
use super::step::{Step, StepKind, StepState, Work};

/// A fact to tell, in the order of the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentFact {
    /// The provider holds the money for this attempt.
    Authorised {
        /// Which attempt.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// The provider refused this attempt.
    Declined {
        /// Which attempt.
        attempt: u32,
        /// Stable code.
        code: String,
    },
    /// The money was taken.
    Captured {
        /// Which attempt.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// The money could not be taken, for good.
    CaptureFailed {
        /// Which attempt.
        attempt: u32,
        /// Stable code.
        code: String,
    },
    /// An authorisation was let go.
    Voided {
        /// Which attempt.
        attempt: u32,
    },
    /// A refund is done.
    Refunded {
        /// Its key.
        refund: RefundId,
        /// What went back; zero when nothing had been captured.
        amount: Money,
    },
    /// A step needs a person.
    Stuck {
        /// Which kind.
        step: StepKind,
        /// For a refund, its key.
        refund: Option<RefundId>,
        /// What the provider said last.
        reason: String,
    },
}

/// Something a person should look at, although money is safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alarm {
    /// The provider approved an attempt nobody waits for; it is being voided.
    StrayApproval {
        /// Which attempt.
        attempt: u32,
    },
    /// The provider speaks of another amount than it was asked for.
    AmountMismatch {
        /// About which kind of step.
        step: StepKind,
        /// What it was asked for.
        asked: Money,
        /// What it speaks of.
        said: Money,
    },
    /// The provider tells something that cannot be true of what it was asked and has answered.
    Contradiction {
        /// What it tells.
        news: &'static str,
        /// About which attempt.
        attempt: u32,
    },
    /// The provider refused a void or a refund too often.
    Stuck {
        /// Which kind.
        step: StepKind,
        /// What it said last.
        reason: String,
    },
    /// Booking asked for a refund where nothing was captured.
    NothingToRefund {
        /// Which one.
        refund: RefundId,
    },
}

impl Alarm {
    /// A word for the counter.
    pub fn word(&self) -> &'static str {
        match self {
            Self::StrayApproval { .. } => "stray_approval",
            Self::AmountMismatch { .. } => "amount_mismatch",
            Self::Contradiction { .. } => "contradiction",
            Self::Stuck { .. } => "stuck",
            Self::NothingToRefund { .. } => "nothing_to_refund",
        }
    }
}

/// A fact of booking's that cannot be true of this payment. Nothing is done; a person must look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Impossible {
    /// There is no such payment.
    #[error("there is no payment for this booking")]
    NoPayment,
    /// The payment's state does not allow it.
    #[error("{what} is impossible while the payment is {}", state.word())]
    State {
        /// What was asked.
        what: &'static str,
        /// Where the payment stands.
        state: PaymentState,
    },
    /// No such attempt was ever authorised.
    #[error("{what} names attempt {attempt}, which is not the authorised one")]
    Attempt {
        /// What was asked.
        what: &'static str,
        /// The attempt named.
        attempt: u32,
    },
    /// The amount is not the one agreed, or more than there is.
    #[error("{what} is about {asked}, but {limit} is possible")]
    Amount {
        /// What was asked.
        what: &'static str,
        /// The amount named.
        asked: Money,
        /// What would be possible.
        limit: Money,
    },
}

/// What a decision wants written, all or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The payment as it was loaded; `None` when it is opened.
    pub before: Option<Payment>,
    /// The payment afterwards; the store writes what differs.
    pub next: Payment,
    /// Outbox rows, in order.
    pub facts: Vec<PaymentFact>,
    /// Ledger entries.
    pub movements: Vec<Movement>,
    /// For people.
    pub alarms: Vec<Alarm>,
    /// Why, for the history.
    pub cause: String,
}

impl Decision {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.before.as_ref() == Some(&self.next) && self.facts.is_empty() && self.movements.is_empty()
    }

    pub(super) fn queue(&mut self, work: Work, attempt: u32, amount: Money) {
        let ordinal = self.next.steps.last().map_or(1, |s| s.ordinal + 1);
        self.next.steps.push(Step {
            id: StepId::new(),
            ordinal,
            work,
            attempt,
            amount,
            state: StepState::Pending,
            tries: 0,
            refusals: 0,
            next_try_at: DateTime::UNIX_EPOCH,
            claim_epoch: 0,
            outcome: None,
        });
    }

    pub(super) fn finish(&mut self, ordinal: i32, state: StepState, outcome: &str) {
        if let Some(step) = self.next.steps.iter_mut().find(|s| s.ordinal == ordinal) {
            step.state = state;
            step.outcome = Some(outcome.to_owned());
        }
    }

    pub(super) fn tell(&mut self, fact: PaymentFact) {
        self.facts.push(fact);
    }

    pub(super) fn alarm(&mut self, alarm: Alarm) {
        self.alarms.push(alarm);
    }

    /// Moves money; `what` names the attempt or the refund.
    pub(super) fn move_money(&mut self, kind: MovementKind, amount: Money, what: impl std::fmt::Display) {
        self.movements.push(Movement { kind, amount, cause: format!("{} {what}", kind.word()) });
    }
}

impl Payment {
    pub(super) fn decide(self, cause: impl Into<String>) -> Decision {
        Decision {
            before: Some(self.clone()),
            next: self,
            facts: Vec::new(),
            movements: Vec::new(),
            alarms: Vec::new(),
            cause: cause.into(),
        }
    }

    pub(super) fn unchanged(self) -> Decision {
        self.decide("")
    }
}
