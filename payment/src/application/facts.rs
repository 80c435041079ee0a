//! Booking's facts read into what they ask, and payment's facts written for the wire.

use common::fact::{Fact, NewFact};
use common::ids::{PaymentId, RefundId};
use common::inbox::HandleError;
use common::money::Money;
use common::proto::booking::v1 as booking;
use common::proto::common::v1 as wire;
use common::proto::payment::v1 as payment;

use crate::domain::PaymentFact;

/// What a fact of booking's asks of payment.
pub enum Asked {
    /// Open the payment.
    Open {
        /// Subject of the customer's token.
        customer_id: String,
        /// What the booking costs.
        amount: Money,
    },
    /// Authorise an attempt.
    Authorise {
        /// Which attempt.
        attempt: u32,
        /// How much.
        amount: Money,
        /// The provider's token.
        token: String,
    },
    /// Capture an attempt.
    Confirm {
        /// Which attempt; 0 when there is nothing to pay.
        attempt: u32,
        /// How much.
        amount: Money,
    },
    /// Void an attempt.
    Void {
        /// Which attempt.
        attempt: u32,
    },
    /// Give captured money back.
    GiveBack {
        /// Key of the refund.
        refund: RefundId,
        /// How much.
        amount: Money,
        /// Why, for people.
        reason: String,
    },
    /// Close what was never paid.
    Close {
        /// How the booking ended.
        cause: &'static str,
    },
}

/// Reads a fact of booking's.
///
/// # Errors
/// Permanent when it does not decode, lacks a field, or is of a kind payment has never heard of.
pub fn read(fact: &Fact) -> Result<Asked, HandleError> {
    if fact.is::<booking::BookingHeld>() {
        let held: booking::BookingHeld = fact.payload()?;
        return Ok(Asked::Open { customer_id: held.customer_id, amount: money(held.total)? });
    }
    if fact.is::<booking::PaymentRequested>() {
        let request: booking::PaymentRequested = fact.payload()?;
        let (attempt, token) = (request.attempt, request.payment_token);
        // PostgreSQL's texts hold none, however often it is tried.
        if token.contains('\0') {
            return Err(HandleError::Permanent(anyhow::anyhow!("a payment token with a NUL character")));
        }
        return Ok(Asked::Authorise { attempt, amount: money(request.amount)?, token });
    }
    if fact.is::<booking::BookingConfirmed>() {
        let confirmed: booking::BookingConfirmed = fact.payload()?;
        return Ok(Asked::Confirm { attempt: confirmed.attempt, amount: money(confirmed.amount)? });
    }
    if fact.is::<booking::VoidRequested>() {
        let request: booking::VoidRequested = fact.payload()?;
        return Ok(Asked::Void { attempt: request.attempt });
    }
    if fact.is::<booking::RefundRequested>() {
        let request: booking::RefundRequested = fact.payload()?;
        let refund = RefundId::parse(&request.refund_id).ok_or_else(|| missing("refund_id"))?;
        return Ok(Asked::GiveBack { refund, amount: money(request.amount)?, reason: request.reason });
    }
    if fact.is::<booking::BookingExpired>() {
        return Ok(Asked::Close { cause: "BookingExpired" });
    }
    if fact.is::<booking::BookingReleased>() {
        return Ok(Asked::Close { cause: "BookingReleased" });
    }
    if fact.is::<booking::BookingCancelled>() {
        return Ok(Asked::Close { cause: "BookingCancelled" });
    }
    Err(HandleError::unknown_kind(fact))
}

fn money(amount: Option<wire::Money>) -> Result<Money, HandleError> {
    let amount = amount.ok_or_else(|| missing("amount"))?;
    Money::try_from(amount).map_err(|error| HandleError::Permanent(error.into()))
}

fn missing(field: &str) -> HandleError {
    HandleError::Permanent(anyhow::anyhow!("the payload's {field} is missing or wrong"))
}

/// Writes a fact of payment's.
pub fn write(id: PaymentId, sequence: i64, fact: &PaymentFact) -> NewFact {
    let booking_id = id.to_string();
    match fact.clone() {
        PaymentFact::Authorised { attempt, amount } => {
            let amount = Some(amount.into());
            NewFact::of(id.0, sequence, &payment::PaymentAuthorised { booking_id, attempt, amount })
        }
        PaymentFact::Declined { attempt, code } => {
            NewFact::of(id.0, sequence, &payment::PaymentDeclined { booking_id, attempt, decline_code: code })
        }
        PaymentFact::Captured { attempt, amount } => {
            let amount = Some(amount.into());
            NewFact::of(id.0, sequence, &payment::PaymentCaptured { booking_id, attempt, amount })
        }
        PaymentFact::CaptureFailed { attempt, code } => {
            NewFact::of(id.0, sequence, &payment::PaymentCaptureFailed { booking_id, attempt, code })
        }
        PaymentFact::Voided { attempt } => NewFact::of(id.0, sequence, &payment::PaymentVoided { booking_id, attempt }),
        PaymentFact::Refunded { refund, amount } => {
            let (refund_id, amount) = (refund.to_string(), Some(amount.into()));
            NewFact::of(id.0, sequence, &payment::PaymentRefunded { booking_id, refund_id, amount })
        }
        PaymentFact::Stuck { step, refund, reason } => {
            let refund_id = refund.map(|r| r.to_string()).unwrap_or_default();
            let step = step.word().to_owned();
            NewFact::of(id.0, sequence, &payment::PaymentStuck { booking_id, step, refund_id, reason })
        }
    }
}
