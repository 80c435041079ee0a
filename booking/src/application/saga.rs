//! The saga's deciding half, row by row:
//!
//! | fact | booking found | decision | facts told |
//! |---|---|---|---|
//! | PaymentAuthorised | Paying, this attempt, claims ours | Confirmed, tickets | BookingConfirmed |
//! | | Paying, grace over, all seats free again | claims retaken, Confirmed | BookingConfirmed |
//! | | Paying, any seat gone, too late, started | Expired | BookingExpired, VoidRequested |
//! | | Paying, event cancelled | Cancelled | BookingCancelled, VoidRequested |
//! | | Paying, another amount | Expired, alarm | BookingExpired, VoidRequested |
//! | | Confirmed by this attempt, or Cancelled since | no effect | |
//! | | any other | no change | VoidRequested |
//! | PaymentDeclined | Paying, this attempt | Held, or Expired when the hold is over | (BookingExpired) |
//! | PaymentCaptured | any | noted | |
//! | PaymentCaptureFailed | Confirmed by this attempt | Cancelled, tickets void, seats back except used ones | BookingCancelled |
//! | PaymentRefunded | any | refund closed | |
//! | PaymentStuck | any | refund marked stuck, alarm | |
//! | PaymentVoided | any | no effect | |
//! | EventPublished, EventChanged | | offer wanted | |
//! | EventCancelled | | event marked; the sweeper does the rest | |

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::fact::Fact;
use common::ids::{BookingId, EventId, RefundId};
use common::inbox::{FactHandler, HandleError};
use common::money::Money;
use common::proto::catalog::v1::{EventCancelled, EventChanged, EventPublished};
use common::proto::payment::v1::{
    PaymentAuthorised, PaymentCaptureFailed, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentStuck,
    PaymentVoided,
};
use common::telemetry;
use sea_orm::{DatabaseTransaction, TransactionTrait};

use super::offers::Offers;
use crate::domain::booking::{Authorised, Booking, BookingState, ClaimCheck, Decision, EventCheck};
use crate::infrastructure::store::{Because, RefundState, Store, WriteError};

/// Who acts, in histories.
const ACTOR: &str = "saga";

/// Counts what a person should look at; a line of the log says more beside it.
fn alarm(kind: &str) {
    telemetry::count_kind("eventix_booking_alarms", "booking", kind);
}

/// Takes payment's facts in.
pub struct PaymentFacts {
    store: Arc<Store>,
}

impl PaymentFacts {
    /// Decides over `store`.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn locked(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<Booking, HandleError> {
        let id = BookingId(fact.aggregate_id);
        let booking = self.store.lock(transaction, id).await?;
        booking
            .ok_or_else(|| HandleError::Permanent(anyhow::anyhow!("payment speaks of booking {id}, which is not here")))
    }

    async fn commit(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
        decision: Decision,
        (cause, now): (&str, DateTime<Utc>),
    ) -> Result<(), HandleError> {
        Ok(self.store.transit(transaction, booking, decision, Because { cause, actor: ACTOR, now }).await?)
    }

    async fn authorised(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let told: PaymentAuthorised = fact.payload()?;
        let amount: Money = told
            .amount
            .ok_or_else(|| HandleError::Permanent(anyhow::anyhow!("an authorisation without an amount")))?
            .try_into()
            .map_err(|error| HandleError::Permanent(anyhow::Error::new(error)))?;
        let payment = Authorised { attempt: told.attempt, amount };
        let mut booking = self.locked(transaction, fact).await?;
        let event = self.store.event_check(transaction, booking.event_id).await?;
        if matches!(booking.state, BookingState::Paying { .. }) && amount != booking.total {
            alarm("other_amount");
            tracing::error!(booking.id = %booking.id, %amount, total = %booking.total, "another amount was authorised");
        }

        let now = self.store.db.now(transaction).await?;
        let claims = self.check_claims(transaction, &mut booking, payment, event, now).await?;
        let decision = booking.answer_authorisation(payment, event, claims);
        self.commit(transaction, &booking, decision, ("PaymentAuthorised", now)).await
    }

    /// Whether the claims are ours. Once the grace is over they are anybody's, also when nobody has taken them yet: they are
    /// taken again if all of them are free.
    async fn check_claims(
        &self,
        transaction: &DatabaseTransaction,
        booking: &mut Booking,
        payment: Authorised,
        event: EventCheck,
        now: DateTime<Utc>,
    ) -> Result<ClaimCheck, HandleError> {
        let BookingState::Paying { attempt, grace_until, .. } = booking.state else { return Ok(ClaimCheck::Gone) };
        if attempt != payment.attempt || event.is_cancelled() || payment.amount != booking.total {
            return Ok(ClaimCheck::Gone);
        }
        if now < grace_until {
            let ours = self.store.owns_claims(transaction, booking).await?;
            return Ok(if ours { ClaimCheck::Ours } else { ClaimCheck::Gone });
        }
        if !booking.may_retake(event, now) {
            return Ok(ClaimCheck::Gone);
        }
        // A failed re-claim rolls back to here, so that inbox and offset still commit.
        let savepoint = transaction.begin().await?;
        match self.store.retake(&savepoint, booking, now).await? {
            Some(fence) => {
                savepoint.commit().await?;
                booking.fence = fence;
                Ok(ClaimCheck::Retaken)
            }
            None => {
                savepoint.rollback().await?;
                Ok(ClaimCheck::Gone)
            }
        }
    }

    async fn declined(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let told: PaymentDeclined = fact.payload()?;
        let booking = self.locked(transaction, fact).await?;
        let event = self.store.event_check(transaction, booking.event_id).await?;
        let now = self.store.db.now(transaction).await?;
        let decision = booking.answer_decline(told.attempt, &told.decline_code, event, now);
        self.commit(transaction, &booking, decision, ("PaymentDeclined", now)).await
    }

    async fn capture_failed(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let told: PaymentCaptureFailed = fact.payload()?;
        let booking = self.locked(transaction, fact).await?;
        alarm("capture_failed");
        tracing::error!(booking.id = %booking.id, code = told.code, "the money of booking {} could not be captured", booking.id);
        let now = self.store.db.now(transaction).await?;
        let decision = booking.answer_capture_failure(told.attempt, now);
        self.commit(transaction, &booking, decision, ("PaymentCaptureFailed", now)).await
    }

    async fn refunded(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let told: PaymentRefunded = fact.payload()?;
        let nothing = told.amount.is_none_or(|amount| amount.amount_minor == 0);
        let state = if nothing { RefundState::Nothing } else { RefundState::Done };
        self.store.close_refund(transaction, BookingId(fact.aggregate_id), refund_id(&told.refund_id)?, state).await?;
        Ok(())
    }

    async fn stuck(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let told: PaymentStuck = fact.payload()?;
        alarm("payment_stuck");
        tracing::error!(booking.id = told.booking_id, step = told.step, reason = told.reason, "payment is stuck");
        if !told.refund_id.is_empty() {
            let (booking, refund) = (BookingId(fact.aggregate_id), refund_id(&told.refund_id)?);
            self.store.close_refund(transaction, booking, refund, RefundState::Stuck).await?;
        }
        Ok(())
    }
}

impl From<WriteError> for HandleError {
    fn from(error: WriteError) -> Self {
        Self::Transient(error.into())
    }
}

fn refund_id(text: &str) -> Result<RefundId, HandleError> {
    RefundId::parse(text).ok_or_else(|| HandleError::Permanent(anyhow::anyhow!("malformed refund id {text:?}")))
}

#[async_trait]
impl FactHandler for PaymentFacts {
    async fn handle(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        if fact.is::<PaymentAuthorised>() {
            self.authorised(transaction, fact).await
        } else if fact.is::<PaymentDeclined>() {
            self.declined(transaction, fact).await
        } else if fact.is::<PaymentCaptured>() {
            Ok(self.store.note_captured(transaction, BookingId(fact.aggregate_id)).await?)
        } else if fact.is::<PaymentCaptureFailed>() {
            self.capture_failed(transaction, fact).await
        } else if fact.is::<PaymentRefunded>() {
            self.refunded(transaction, fact).await
        } else if fact.is::<PaymentStuck>() {
            self.stuck(transaction, fact).await
        } else if fact.is::<PaymentVoided>() {
            Ok(())
        } else {
            Err(HandleError::unknown_kind(fact))
        }
    }

    fn committed(&self) {
        self.store.outbox.wake();
    }
}

/// Takes catalog's facts in.
pub struct CatalogFacts {
    store: Arc<Store>,
    offers: Arc<Offers>,
}

impl CatalogFacts {
    /// Notes into `store`, wakes `offers`.
    pub fn new(store: Arc<Store>, offers: Arc<Offers>) -> Self {
        Self { store, offers }
    }
}

#[async_trait]
impl FactHandler for CatalogFacts {
    async fn handle(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError> {
        let event = EventId(fact.aggregate_id);
        let version = if fact.is::<EventPublished>() {
            fact.payload::<EventPublished>()?.offer_version
        } else if fact.is::<EventChanged>() {
            fact.payload::<EventChanged>()?.offer_version
        } else if fact.is::<EventCancelled>() {
            return Ok(self.store.mark_cancelled(transaction, event, fact.occurred_at).await?);
        } else {
            return Err(HandleError::unknown_kind(fact));
        };
        let version = i64::try_from(version).map_err(|e| HandleError::Permanent(e.into()))?;
        Ok(self.store.want_offer(transaction, event, version).await?)
    }

    fn committed(&self) {
        self.offers.wake();
    }
}
