//! What the provider tells unasked. A notice is an answer like that of a status: it finishes the step that waits for it,
//! and anything else it says is either known, or a reason to look. Steps are answered in the order they are asked, so a
//! notice about a step that was never sent has no effect; the provider will be asked about it in its turn.

use chrono::{DateTime, Utc};
use common::ids::RefundId;
use common::money::Money;

use super::answers;
use super::decision::{Alarm, Decision};
use super::payment::Payment;
use super::step::{Outcome, Patience, Step, StepKind, StepState, Work};

/// What the provider tells about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It holds the money.
    Approved {
        /// How much.
        amount: Money,
    },
    /// It refused the authorisation.
    Declined {
        /// Stable code.
        code: String,
    },
    /// It took the money.
    Captured {
        /// How much.
        amount: Money,
    },
    /// It cannot take the money, for good.
    CaptureFailed {
        /// Stable code.
        code: String,
    },
    /// It let the money go.
    Voided,
    /// Money went back.
    Refunded {
        /// Key of the refund.
        refund: RefundId,
        /// How much.
        amount: Money,
    },
    /// A refund that was taken in has failed.
    RefundFailed {
        /// Key of the refund.
        refund: RefundId,
        /// Stable code.
        code: String,
    },
}

impl News {
    /// A word for logs and the history.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approved { .. } => "approved",
            Self::Declined { .. } => "declined",
            Self::Captured { .. } => "captured",
            Self::CaptureFailed { .. } => "capture_failed",
            Self::Voided => "voided",
            Self::Refunded { .. } => "refunded",
            Self::RefundFailed { .. } => "refund_failed",
        }
    }

    /// What it means for a step that waits for it.
    fn outcome(&self, step: &Step) -> Outcome {
        match self {
            Self::Approved { amount } | Self::Captured { amount } | Self::Refunded { amount, .. } => {
                if *amount == step.amount { Outcome::Done } else { Outcome::Mismatch { said: *amount } }
            }
            Self::Voided => Outcome::Done,
            Self::Declined { code } | Self::CaptureFailed { code } | Self::RefundFailed { code, .. } => {
                Outcome::Refused { code: code.clone() }
            }
        }
    }
}

impl Payment {
    /// Takes in what the provider tells unasked about an attempt.
    pub fn hear(self, attempt: u32, news: &News, patience: &Patience, now: DateTime<Utc>) -> Decision {
        let Some(step) = self.step_about(attempt, news).cloned() else { return self.hear_unasked(attempt, news) };
        match (step.state, news.outcome(&step)) {
            (StepState::Pending | StepState::Unknown, outcome) => self.hear_answer(&step, outcome, patience, now),
            (StepState::Failed, Outcome::Done) if step.kind() == StepKind::Authorise => {
                self.decide_with(news, |decision| answers::approved(decision, &step))
            }
            // Whatever is held there, it is not what was asked for.
            (StepState::Failed, Outcome::Mismatch { .. }) if step.kind() == StepKind::Authorise => {
                self.hear_unasked(attempt, news)
            }
            // What a person was to look at has happened by itself.
            (StepState::Stuck, Outcome::Done) => self.decide_with(news, |decision| answers::done(decision, &step)),
            (StepState::Done, Outcome::Done) | (StepState::Failed | StepState::Stuck, Outcome::Refused { .. }) => {
                self.unchanged()
            }
            (StepState::Done | StepState::Failed | StepState::Stuck, Outcome::Mismatch { said }) => {
                self.look(Alarm::AmountMismatch { step: step.kind(), asked: step.amount, said })
            }
            (StepState::Done, Outcome::Refused { .. })
            | (StepState::Failed, Outcome::Done)
            | (StepState::Done | StepState::Failed | StepState::Stuck, Outcome::Unknown { .. }) => {
                self.look(Alarm::Contradiction { news: news.word(), attempt })
            }
        }
    }

    fn step_about(&self, attempt: u32, news: &News) -> Option<&Step> {
        match news {
            News::Approved { .. } | News::Declined { .. } => self.step(StepKind::Authorise, attempt),
            News::Captured { .. } | News::CaptureFailed { .. } => self.step(StepKind::Capture, attempt),
            News::Voided => self.step(StepKind::Void, attempt),
            News::Refunded { refund, .. } | News::RefundFailed { refund, .. } => {
                self.steps.iter().find(|s| s.attempt == attempt && s.refund() == Some(*refund))
            }
        }
    }

    /// The answer to the step that is asked now.
    fn hear_answer(self, step: &Step, outcome: Outcome, patience: &Patience, now: DateTime<Utc>) -> Decision {
        let is_current = self.current_step().is_some_and(|current| current.ordinal == step.ordinal);
        // A refusal is counted where it was answered: what waits to be sent again has heard it.
        let heard_before = step.state == StepState::Pending && matches!(outcome, Outcome::Refused { .. });
        let may_be_retried = matches!(step.kind(), StepKind::Void | StepKind::Refund);
        if !is_current || (heard_before && may_be_retried) {
            return self.unchanged();
        }
        self.answer(step.ordinal, outcome, patience, now)
    }

    fn decide_with(self, news: &News, change: impl FnOnce(&mut Decision)) -> Decision {
        let mut decision = self.decide(news.word());
        change(&mut decision);
        decision
    }

    /// News about something that was never asked for. Money held for it is let go.
    fn hear_unasked(self, attempt: u32, news: &News) -> Decision {
        match news {
            News::Approved { .. } if self.step(StepKind::Void, attempt).is_some() => self.unchanged(),
            News::Approved { amount } if !amount.is_zero() => self.decide_with(news, |decision| {
                decision.queue(Work::Void { stray: true }, attempt, *amount);
                decision.alarm(Alarm::StrayApproval { attempt });
            }),
            News::Declined { .. } | News::CaptureFailed { .. } | News::Voided | News::RefundFailed { .. } => {
                self.unchanged()
            }
            News::Approved { .. } | News::Captured { .. } | News::Refunded { .. } => {
                self.look(Alarm::Contradiction { news: news.word(), attempt })
            }
        }
    }

    fn look(self, alarm: Alarm) -> Decision {
        let mut decision = self.unchanged();
        decision.alarm(alarm);
        decision
    }
}
