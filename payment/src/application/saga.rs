//! The saga's paying half: what booking's facts do here, row by row.
//!
//! | fact | payment | decision | steps and facts |
//! |---|---|---|---|
//! | BookingHeld | none | open it with the amount | |
//! | PaymentRequested{attempt} | Open, Declined | Authorising, once per attempt | step `authorise` → PaymentAuthorised, PaymentDeclined |
//! | BookingConfirmed{attempt} | Authorised, that attempt | capture | step `capture` → PaymentCaptured, PaymentCaptureFailed |
//! | BookingConfirmed{0} | Open, nothing to pay | Closed | |
//! | VoidRequested{attempt} | any, capture never asked for | void that attempt | step `void` → PaymentVoided, PaymentStuck |
//! | RefundRequested | capture asked for | refund, after the capture is known | step `refund` → PaymentRefunded, PaymentStuck |
//! | RefundRequested | capture failed; Voided, Closed | nothing to refund | PaymentRefunded of zero |
//! | BookingExpired, Released, Cancelled | Open, Declined | Closed | |
//! | any of these again | followed before | no effect | |
//! | anything else | any | refused whole: dead letter, alarm | |

use std::sync::Arc;

use async_trait::async_trait;
use common::fact::Fact;
use common::ids::PaymentId;
use common::inbox::{FactHandler, HandleError};
use sea_orm::DatabaseTransaction;
use tracing::instrument;

use super::alarm;
use super::facts::{self, Asked};
use super::ports::{PaymentStore, StoreError};
use crate::domain::{Decision, Impossible, Payment};

/// Who stands in the history.
const ACTOR: &str = "booking";

/// Follows booking's facts.
pub struct Saga {
    store: Arc<dyn PaymentStore>,
}

impl Saga {
    /// Follows them into a store.
    pub fn new(store: Arc<dyn PaymentStore>) -> Self {
        Self { store }
    }
}

#[async_trait]
impl FactHandler for Saga {
    #[instrument(name = "payment.follow", skip_all, fields(payment.id = %fact.aggregate_id, fact.kind = fact.kind))]
    async fn handle(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let id = PaymentId(fact.aggregate_id);
        let asked = facts::read(fact)?;
        let payment = self.store.lock(transaction, id).await?;
        let decision = decide(id, payment, asked).map_err(|reason| {
            alarm::impossible(id, &reason);
            HandleError::Permanent(reason.into())
        })?;
        self.store.write(transaction, &decision, ACTOR).await?;
        alarm::raise(id, &decision.alarms);
        Ok(())
    }

    fn committed(&self) {
        self.store.committed();
    }
}

fn decide(id: PaymentId, payment: Option<Payment>, asked: Asked) -> Result<Decision, Impossible> {
    let Some(payment) = payment else {
        return match asked {
            Asked::Open { customer_id, amount } => Ok(Payment::open(id, customer_id, amount)),
            // Booking's facts arrive in order, and the first one opens.
            Asked::Authorise { .. }
            | Asked::Confirm { .. }
            | Asked::Void { .. }
            | Asked::GiveBack { .. }
            | Asked::Close { .. } => Err(Impossible::NoPayment),
        };
    };
    match asked {
        Asked::Open { .. } => Ok(payment.already_open()),
        Asked::Authorise { attempt, amount, token } => payment.authorise(attempt, amount, token),
        Asked::Confirm { attempt, amount } => payment.confirm(attempt, amount),
        Asked::Void { attempt } => payment.void(attempt),
        Asked::GiveBack { refund, amount, reason } => payment.give_back(refund, amount, reason),
        Asked::Close { cause } => Ok(payment.booking_ended(cause)),
    }
}

impl From<StoreError> for HandleError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(_) | StoreError::Stale(_) => Self::Transient(error.into()),
            StoreError::Corrupt { .. } => Self::Permanent(error.into()),
        }
    }
}
