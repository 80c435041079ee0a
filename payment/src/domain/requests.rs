//! What booking's facts ask of a payment. A fact that was already followed changes nothing; one that cannot be true is
//! refused as a whole, because guessing would move money.

use common::ids::{PaymentId, RefundId};
use common::money::Money;

use super::decision::{Alarm, Decision, Impossible, PaymentFact};
use super::payment::{Payment, PaymentState};
use super::refund::{Refund, RefundState};
use super::step::{StepKind, StepState, Work};

impl Payment {
    /// Opens the payment of a booking: the amount is known, nothing is tried.
    pub fn open(id: PaymentId, customer_id: String, amount: Money) -> Decision {
        let payment = Self {
            id,
            customer_id,
            state: PaymentState::Open,
            amount,
            attempt: 0,
            captured_minor: 0,
            refunded_minor: 0,
            decline_code: None,
            sequence: 0,
            version: 0,
            steps: Vec::new(),
            refunds: Vec::new(),
        };
        Decision { before: None, ..payment.decide("BookingHeld") }
    }

    /// Answers a second `BookingHeld`: it was opened before.
    pub fn already_open(self) -> Decision {
        self.unchanged()
    }

    /// Authorises, once per attempt.
    ///
    /// # Errors
    /// Another amount than the booking's, or a state in which nothing may be tried.
    pub fn authorise(self, attempt: u32, amount: Money, token: String) -> Result<Decision, Impossible> {
        const WHAT: &str = "PaymentRequested";
        if attempt <= self.attempt {
            return Ok(self.unchanged());
        }
        if amount != self.amount || amount.is_zero() {
            return Err(Impossible::Amount { what: WHAT, asked: amount, limit: self.amount });
        }
        match self.state {
            PaymentState::Open | PaymentState::Declined => {
                let mut decision = self.decide(WHAT);
                decision.next.state = PaymentState::Authorising;
                decision.next.attempt = attempt;
                decision.next.decline_code = None;
                decision.queue(Work::Authorise { token }, attempt, amount);
                Ok(decision)
            }
            PaymentState::Authorising
            | PaymentState::Authorised
            | PaymentState::Captured
            | PaymentState::PartlyRefunded
            | PaymentState::Refunded
            | PaymentState::Voided
            | PaymentState::Closed => Err(Impossible::State { what: WHAT, state: self.state }),
        }
    }

    /// Captures the authorised attempt of a confirmed booking; attempt 0 means there is nothing to pay.
    ///
    /// # Errors
    /// The attempt is not authorised, was asked to be voided, or the amount is another one.
    pub fn confirm(self, attempt: u32, amount: Money) -> Result<Decision, Impossible> {
        const WHAT: &str = "BookingConfirmed";
        if attempt == 0 {
            return self.confirm_without_money(WHAT);
        }
        if self.step(StepKind::Capture, attempt).is_some() {
            return Ok(self.unchanged());
        }
        if self.state != PaymentState::Authorised {
            return Err(Impossible::State { what: WHAT, state: self.state });
        }
        if attempt != self.attempt || self.step(StepKind::Void, attempt).is_some() {
            return Err(Impossible::Attempt { what: WHAT, attempt });
        }
        if amount != self.amount {
            return Err(Impossible::Amount { what: WHAT, asked: amount, limit: self.amount });
        }
        let mut decision = self.decide(WHAT);
        decision.queue(Work::Capture, attempt, amount);
        Ok(decision)
    }

    fn confirm_without_money(self, what: &'static str) -> Result<Decision, Impossible> {
        match self.state {
            PaymentState::Closed => Ok(self.unchanged()),
            PaymentState::Open | PaymentState::Declined if self.amount.is_zero() => Ok(self.close(what)),
            PaymentState::Open
            | PaymentState::Declined
            | PaymentState::Authorising
            | PaymentState::Authorised
            | PaymentState::Captured
            | PaymentState::PartlyRefunded
            | PaymentState::Refunded
            | PaymentState::Voided => Err(Impossible::State { what, state: self.state }),
        }
    }

    /// The booking ended: closes what was never paid. Money moves only on `VoidRequested` and `RefundRequested`.
    pub fn booking_ended(self, cause: &'static str) -> Decision {
        match self.state {
            PaymentState::Open | PaymentState::Declined => self.close(cause),
            PaymentState::Authorising
            | PaymentState::Authorised
            | PaymentState::Captured
            | PaymentState::PartlyRefunded
            | PaymentState::Refunded
            | PaymentState::Voided
            | PaymentState::Closed => self.unchanged(),
        }
    }

    fn close(self, cause: &'static str) -> Decision {
        let mut decision = self.decide(cause);
        decision.next.state = PaymentState::Closed;
        decision
    }

    /// Voids an attempt, whatever became or becomes of its authorisation.
    ///
    /// # Errors
    /// The attempt was never made, or its capture was asked for.
    pub fn void(self, attempt: u32) -> Result<Decision, Impossible> {
        const WHAT: &str = "VoidRequested";
        if self.step(StepKind::Void, attempt).is_some() {
            return Ok(self.unchanged());
        }
        if self.step(StepKind::Capture, attempt).is_some() {
            return Err(Impossible::State { what: WHAT, state: self.state });
        }
        let Some(amount) = self.step(StepKind::Authorise, attempt).map(|s| s.amount) else {
            return Err(Impossible::Attempt { what: WHAT, attempt });
        };
        let mut decision = self.decide(WHAT);
        decision.queue(Work::Void { stray: false }, attempt, amount);
        Ok(decision)
    }

    /// Gives captured money back, once per refund id. A refund asked for before the capture is known waits for it.
    ///
    /// # Errors
    /// The same id with another amount, more than is captured less what is already going back, or a refund before its
    /// capture was asked for.
    pub fn give_back(self, id: RefundId, amount: Money, reason: String) -> Result<Decision, Impossible> {
        const WHAT: &str = "RefundRequested";
        if let Some(known) = self.refund(id) {
            let limit = known.amount;
            return if limit == amount {
                Ok(self.unchanged())
            } else {
                Err(Impossible::Amount { what: WHAT, asked: amount, limit })
            };
        }
        let Some(capture) = self.capture() else {
            return match self.state {
                PaymentState::Voided | PaymentState::Closed => {
                    Ok(self.nothing_to_refund(Refund { id, amount, state: RefundState::NothingToRefund, reason }))
                }
                // A capture could still come, and would then owe this refund.
                PaymentState::Open
                | PaymentState::Authorising
                | PaymentState::Authorised
                | PaymentState::Declined
                | PaymentState::Captured
                | PaymentState::PartlyRefunded
                | PaymentState::Refunded => Err(Impossible::State { what: WHAT, state: self.state }),
            };
        };
        let state = match capture.state {
            StepState::Pending | StepState::Unknown | StepState::Stuck => RefundState::Waiting,
            StepState::Done => RefundState::Pending,
            StepState::Failed => RefundState::NothingToRefund,
        };
        let refund = Refund { id, amount, state, reason };
        if state == RefundState::NothingToRefund {
            return Ok(self.nothing_to_refund(refund));
        }

        let taken: i64 = self.refunds.iter().filter(|r| r.counts()).map(|r| r.amount.amount_minor()).sum();
        let left = Money::new(capture.amount.amount_minor() - taken, capture.amount.currency());
        let limit = left.unwrap_or(Money::zero(self.amount.currency()));
        let fits = amount.currency() == limit.currency() && amount.amount_minor() <= limit.amount_minor();
        if !fits || amount.is_zero() {
            return Err(Impossible::Amount { what: WHAT, asked: amount, limit });
        }
        let attempt = capture.attempt;
        let mut decision = self.decide(WHAT);
        decision.next.refunds.push(refund);
        decision.queue(Work::Refund { refund: id }, attempt, amount);
        Ok(decision)
    }

    fn nothing_to_refund(self, refund: Refund) -> Decision {
        let (id, zero) = (refund.id, Money::zero(self.amount.currency()));
        // After a failed capture this is the ordinary answer; without any capture booking has miscounted.
        let expected = self.capture().is_some();
        let mut decision = self.decide("RefundRequested");
        decision.next.refunds.push(refund);
        decision.tell(PaymentFact::Refunded { refund: id, amount: zero });
        if !expected {
            decision.alarm(Alarm::NothingToRefund { refund: id });
        }
        decision
    }
}
