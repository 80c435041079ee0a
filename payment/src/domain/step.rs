//! Provider steps: each is one thing the provider must do, made durable before it is asked, and asked until known.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::ids::{PaymentId, RefundId, StepId};
use common::money::Money;

/// Our name for one attempt at the provider. The same attempt always has the same one: that makes every call idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference(String);

impl Reference {
    /// The reference of a payment's attempt.
    pub fn of(payment: PaymentId, attempt: u32) -> Self {
        Self(format!("{payment}-{attempt}"))
    }

    /// Reads whose attempt a reference names; `None` when it is none of ours.
    pub fn parse(text: &str) -> Option<(PaymentId, u32)> {
        let (payment, attempt) = text.rsplit_once('-')?;
        let named = (PaymentId::parse(payment)?, attempt.parse().ok().filter(|attempt| *attempt > 0)?);
        (Self::of(named.0, named.1).as_str() == text).then_some(named)
    }

    /// Its text, as the provider stores it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

words! {
    /// What kind of step it is.
    StepKind {
        /// Reserve the money.
        Authorise = "authorise",
        /// Take the reserved money.
        Capture = "capture",
        /// Let the reserved money go.
        Void = "void",
        /// Give captured money back.
        Refund = "refund",
    }
}

words! {
    /// Where a step stands.
    StepState {
        /// To be sent, or sent without an answer recorded yet.
        Pending = "pending",
        /// Sent, outcome not known: its status is asked until it is.
        Unknown = "unknown",
        /// The provider did it.
        Done = "done",
        /// The provider refused it, or it became pointless.
        Failed = "failed",
        /// Refused too often: a person must look.
        Stuck = "stuck",
    }
}

/// What the provider is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Reserve the money.
    Authorise {
        /// The provider's token for the means of payment.
        token: String,
    },
    /// Take the reserved money.
    Capture,
    /// Let the reserved money go.
    Void {
        /// Whether nobody asked for it: the provider approved an attempt that nobody waits for. Then nobody is told either.
        stray: bool,
    },
    /// Give captured money back.
    Refund {
        /// Key of the refund.
        refund: RefundId,
    },
}

/// One thing the provider must do for a payment. Steps of one payment run one at a time, in the order of their ordinals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its id, for the history.
    pub id: StepId,
    /// 1, 2, 3 and so on within the payment.
    pub ordinal: i32,
    /// What to do.
    pub work: Work,
    /// For which attempt.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub state: StepState,
    /// How often it was claimed for asking.
    pub tries: u32,
    /// How often the provider said no to a void or a refund.
    pub refusals: u32,
    /// Not asked before.
    pub next_try_at: DateTime<Utc>,
    /// Grows with every claim: who writes under an older one writes nothing.
    pub claim_epoch: i64,
    /// What the provider said last; `None` until it said something.
    pub outcome: Option<String>,
}

impl Step {
    /// What kind of step it is.
    pub fn kind(&self) -> StepKind {
        match self.work {
            Work::Authorise { .. } => StepKind::Authorise,
            Work::Capture => StepKind::Capture,
            Work::Void { .. } => StepKind::Void,
            Work::Refund { .. } => StepKind::Refund,
        }
    }

    /// Whether the provider still has to be asked. A stuck step is not: later refunds must not wait for a person.
    pub fn is_unfinished(&self) -> bool {
        match self.state {
            StepState::Pending | StepState::Unknown => true,
            StepState::Done | StepState::Failed | StepState::Stuck => false,
        }
    }

    /// The refund it is for.
    pub fn refund(&self) -> Option<RefundId> {
        match self.work {
            Work::Refund { refund } => Some(refund),
            Work::Authorise { .. } | Work::Capture | Work::Void { .. } => None,
        }
    }
}

/// What came of asking the provider once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: approved, captured, voided or refunded.
    Done,
    /// It is refused: declined, for an authorisation.
    Refused {
        /// Stable code.
        code: String,
    },
    /// Nobody knows. Never a failure: it is asked again.
    Unknown {
        /// For logs.
        reason: String,
    },
    /// It speaks of another amount than it was asked for. Nothing of it is believed: it is asked again, with an alarm.
    Mismatch {
        /// The amount it names.
        said: Money,
    },
}

impl Outcome {
    /// A word for the history.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused { .. } => "refused",
            Self::Unknown { .. } => "unknown",
            Self::Mismatch { .. } => "mismatch",
        }
    }
}

/// How patiently the provider is asked again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Pause after the first try; doubles with each further one.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// Refusals of a void or refund after which it is stuck.
    pub refusals_max: u32,
}

impl Patience {
    /// The pause after this many tries.
    pub fn pause(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let patience = Patience { first: Duration::from_millis(200), longest: Duration::from_secs(5), refusals_max: 8 };
        let pauses: Vec<u128> = [1, 2, 3, 5, 6, 1_000_000].map(|tries| patience.pause(tries).as_millis()).to_vec();

        assert_eq!(pauses, [200, 400, 800, 3200, 5000, 5000]);
    }

    #[test]
    fn a_reference_is_the_payment_and_the_attempt() {
        let payment = PaymentId::new();

        assert_eq!(Reference::of(payment, 2).as_str(), format!("{payment}-2"));
    }

    #[test]
    fn only_our_own_references_are_read_back() {
        let payment = PaymentId::new();

        assert_eq!(Reference::parse(&format!("{payment}-12")), Some((payment, 12)));
        for foreign in ["", "-1", "order-1", &payment.to_string(), &format!("{payment}-0"), &format!("{payment}-01")] {
            assert_eq!(Reference::parse(foreign), None, "{foreign:?}");
        }
    }
}
