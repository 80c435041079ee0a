//! What a person may do about a step that is stuck: have the provider asked again, with new patience.

use common::ids::RefundId;

use super::decision::Decision;
use super::payment::Payment;
use super::refund::RefundState;
use super::step::{Step, StepKind, StepState};

/// Why a step is not asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotStuck {
    /// The payment has no such step.
    #[error("there is no such step")]
    Missing,
    /// It is not stuck.
    #[error("it is {}, not stuck", .0.word())]
    Found(StepState),
}

impl Payment {
    /// Asks the provider again for a refund that is stuck. Its money counted as going back all the time.
    ///
    /// # Errors
    /// There is no such refund, or it is not stuck.
    pub fn retry_refund(self, refund: RefundId) -> Result<Decision, NotStuck> {
        let step = self.steps.iter().find(|s| s.refund() == Some(refund));
        let ordinal = stuck(step)?;
        let mut decision = self.reopen(ordinal, "retryRefund");
        for refund in decision.next.refunds.iter_mut().filter(|r| r.id == refund) {
            refund.state = RefundState::Pending;
        }
        Ok(decision)
    }

    /// Asks the provider again to let an attempt's money go.
    ///
    /// # Errors
    /// There is no such void, or it is not stuck.
    pub fn retry_void(self, attempt: u32) -> Result<Decision, NotStuck> {
        let ordinal = stuck(self.step(StepKind::Void, attempt))?;
        Ok(self.reopen(ordinal, "retryVoid"))
    }

    fn reopen(self, ordinal: i32, cause: &'static str) -> Decision {
        let mut decision = self.decide(cause);
        for step in decision.next.steps.iter_mut().filter(|s| s.ordinal == ordinal) {
            step.state = StepState::Pending;
            step.refusals = 0;
        }
        decision
    }
}

fn stuck(step: Option<&Step>) -> Result<i32, NotStuck> {
    match step {
        None => Err(NotStuck::Missing),
        Some(step) if step.state == StepState::Stuck => Ok(step.ordinal),
        Some(step) => Err(NotStuck::Found(step.state)),
    }
}
