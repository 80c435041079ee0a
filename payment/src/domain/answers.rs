//! What the provider's answers do to a payment. Total on purpose: an answer is a fact, and an answer to a step that is
//! finished already changes nothing.

use chrono::{DateTime, Utc};
use common::money::Money;

use super::decision::{Alarm, Decision, PaymentFact};
use super::ledger::MovementKind;
use super::payment::{Payment, PaymentState};
use super::refund::RefundState;
use super::step::{Outcome, Patience, Step, StepKind, StepState, Work};

impl Payment {
    /// Takes in what came of asking the provider about one step.
    pub fn answer(self, ordinal: i32, outcome: Outcome, patience: &Patience, now: DateTime<Utc>) -> Decision {
        let Some(step) = self.steps.iter().find(|s| s.ordinal == ordinal && s.is_unfinished()).cloned() else {
            return self.unchanged();
        };
        let mut decision = self.decide(format!("{} {}", step.kind().word(), outcome.word()));
        match outcome {
            Outcome::Done => done(&mut decision, &step),
            Outcome::Refused { code } => refused(&mut decision, &step, &code, patience, now),
            Outcome::Unknown { reason } => ask_again(&mut decision, &step, StepState::Unknown, &reason, patience, now),
            Outcome::Mismatch { said } => distrust(&mut decision, &step, said, patience, now),
        }
        decision
    }
}

/// The provider did what a step asks for.
pub(super) fn done(decision: &mut Decision, step: &Step) {
    match &step.work {
        Work::Authorise { .. } => approved(decision, step),
        Work::Capture => captured(decision, step),
        Work::Void { stray } => voided(decision, step, *stray),
        Work::Refund { .. } => refunded(decision, step),
    }
}

fn refused(decision: &mut Decision, step: &Step, code: &str, patience: &Patience, now: DateTime<Utc>) {
    match &step.work {
        Work::Authorise { .. } => declined(decision, step, code),
        Work::Capture => capture_failed(decision, step, code),
        Work::Void { .. } | Work::Refund { .. } => try_again_or_stick(decision, step, code, patience, now),
    }
}

/// An approval is told only while somebody waits for it; every other one is let go. So is one whose attempt was let go
/// before it was made, because the provider spoke of it too early: its customer reads a decline and may try again.
pub(super) fn approved(decision: &mut Decision, step: &Step) {
    let attempt = step.attempt;
    decision.finish(step.ordinal, StepState::Done, "approved");
    decision.move_money(MovementKind::Hold, step.amount, attempt);

    let awaited = decision.next.state == PaymentState::Authorising && decision.next.attempt == attempt;
    let void = decision.next.step(StepKind::Void, attempt).cloned();
    match &void {
        None if awaited => {
            decision.next.state = PaymentState::Authorised;
            decision.tell(PaymentFact::Authorised { attempt, amount: step.amount });
        }
        Some(void) if awaited && void.work == (Work::Void { stray: true }) => {
            decline(decision, attempt, "AUTHORISATION_VOIDED");
        }
        Some(_) if awaited => decision.next.state = PaymentState::Authorised,
        None => {
            decision.queue(Work::Void { stray: true }, attempt, step.amount);
            decision.alarm(Alarm::StrayApproval { attempt });
        }
        Some(_) => {}
    }
    // It was let go before, and must be let go again.
    if let Some(void) = void.filter(|void| void.state == StepState::Done) {
        decision.finish(void.ordinal, StepState::Pending, "approved again");
        decision.alarm(Alarm::StrayApproval { attempt });
    }
}

fn decline(decision: &mut Decision, attempt: u32, code: &str) {
    decision.next.state = PaymentState::Declined;
    decision.next.decline_code = Some(code.to_owned());
    decision.tell(PaymentFact::Declined { attempt, code: code.to_owned() });
}

fn declined(decision: &mut Decision, step: &Step, code: &str) {
    decision.finish(step.ordinal, StepState::Failed, code);
    if decision.next.state == PaymentState::Authorising && decision.next.attempt == step.attempt {
        decline(decision, step.attempt, code);
    }
}

fn captured(decision: &mut Decision, step: &Step) {
    decision.finish(step.ordinal, StepState::Done, "captured");
    decision.move_money(MovementKind::Release, step.amount, step.attempt);
    decision.move_money(MovementKind::Capture, step.amount, step.attempt);
    decision.next.state = PaymentState::Captured;
    decision.next.captured_minor = step.amount.amount_minor();
    for refund in decision.next.refunds.iter_mut().filter(|r| r.state == RefundState::Waiting) {
        refund.state = RefundState::Pending;
    }
    decision.tell(PaymentFact::Captured { attempt: step.attempt, amount: step.amount });
}

/// A refused capture is final, and its reservation is gone with it: refunds that waited for it have nothing to return.
/// Another attempt's money is still held, and its void still owed.
fn capture_failed(decision: &mut Decision, step: &Step, code: &str) {
    decision.finish(step.ordinal, StepState::Failed, code);
    decision.move_money(MovementKind::Release, step.amount, step.attempt);
    decision.next.state = PaymentState::Closed;
    decision.next.decline_code = Some(code.to_owned());
    decision.tell(PaymentFact::CaptureFailed { attempt: step.attempt, code: code.to_owned() });

    let zero = Money::zero(decision.next.amount.currency());
    for refund in decision.next.refunds.iter_mut().filter(|r| r.state == RefundState::Waiting) {
        refund.state = RefundState::NothingToRefund;
        decision.facts.push(PaymentFact::Refunded { refund: refund.id, amount: zero });
    }
    for step in decision.next.steps.iter_mut().filter(|s| s.is_unfinished() && s.kind() == StepKind::Refund) {
        step.state = StepState::Failed;
        step.outcome = Some(RefundState::NothingToRefund.word().to_owned());
    }
}

/// The end of a stray approval is nobody's business: the customer of a declined attempt may try again.
fn voided(decision: &mut Decision, step: &Step, stray: bool) {
    let attempt = step.attempt;
    let held = decision.next.step(StepKind::Authorise, attempt).filter(|_| decision.next.is_held(attempt));
    if let Some(held) = held.map(|authorised| authorised.amount) {
        decision.move_money(MovementKind::Release, held, attempt);
    }
    decision.finish(step.ordinal, StepState::Done, "voided");
    if stray || attempt != decision.next.attempt {
        return;
    }
    if matches!(decision.next.state, PaymentState::Authorised | PaymentState::Declined) {
        decision.next.state = PaymentState::Voided;
    }
    decision.tell(PaymentFact::Voided { attempt });
}

fn refunded(decision: &mut Decision, step: &Step) {
    let Some(id) = step.refund() else { return };
    decision.finish(step.ordinal, StepState::Done, "refunded");
    decision.move_money(MovementKind::Refund, step.amount, id);
    set_refund(decision, step, RefundState::Done);
    decision.next.refunded_minor += step.amount.amount_minor();
    decision.next.state = if decision.next.refunded_minor == decision.next.captured_minor {
        PaymentState::Refunded
    } else {
        PaymentState::PartlyRefunded
    };
    decision.tell(PaymentFact::Refunded { refund: id, amount: step.amount });
}

fn try_again_or_stick(decision: &mut Decision, step: &Step, code: &str, patience: &Patience, now: DateTime<Utc>) {
    let refusals = step.refusals + 1;
    if refusals < patience.refusals_max {
        ask_again(decision, step, StepState::Pending, code, patience, now);
    } else {
        decision.finish(step.ordinal, StepState::Stuck, code);
        set_refund(decision, step, RefundState::Stuck);
        let (kind, reason) = (step.kind(), code.to_owned());
        decision.tell(PaymentFact::Stuck { step: kind, refund: step.refund(), reason: reason.clone() });
        decision.alarm(Alarm::Stuck { step: kind, reason });
    }
    if let Some(step) = decision.next.steps.iter_mut().find(|s| s.ordinal == step.ordinal) {
        step.refusals = refusals;
    }
}

/// An amount that was not asked for: asked again, and one alarm for as long as the provider says the same.
fn distrust(decision: &mut Decision, step: &Step, said: Money, patience: &Patience, now: DateTime<Utc>) {
    let reason = format!("the provider speaks of {said}, asked were {}", step.amount);
    if step.outcome.as_ref() != Some(&reason) {
        decision.alarm(Alarm::AmountMismatch { step: step.kind(), asked: step.amount, said });
    }
    ask_again(decision, step, StepState::Unknown, &reason, patience, now);
}

fn set_refund(decision: &mut Decision, step: &Step, state: RefundState) {
    if let Some(refund) = decision.next.refunds.iter_mut().find(|r| Some(r.id) == step.refund()) {
        refund.state = state;
    }
}

fn ask_again(
    decision: &mut Decision,
    step: &Step,
    state: StepState,
    said: &str,
    patience: &Patience,
    now: DateTime<Utc>,
) {
    decision.finish(step.ordinal, state, said);
    if let Some(step) = decision.next.steps.iter_mut().find(|s| s.ordinal == step.ordinal) {
        step.next_try_at = now + patience.pause(step.tries);
    }
}
