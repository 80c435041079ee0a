//! What payment needs from outside: a provider that moves money, and a store that keeps decisions whole.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::error::{ErrorKind, Refusal};
use common::ids::{PaymentId, RefundId};
use common::money::Money;
use common::telemetry::Carrier;
use sea_orm::{DatabaseTransaction, DbErr};

use crate::domain::{Decision, Payment, Reference, Step};

/// A definite answer of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done, now or by an earlier call with the same reference.
    Done,
    /// It is refused.
    Refused {
        /// Stable code, for instance `CARD_DECLINED`.
        code: String,
    },
    /// It was taken in, and its outcome is not known yet: the status will say.
    Pending,
}

/// Why there is no answer. It never means that nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// No answer in time.
    #[error("the provider did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection failed, or the answer made no sense.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
}

/// What became of an authorisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorisation {
    /// Still being decided.
    Pending,
    /// The money is or was held.
    Approved,
    /// Refused, or voided before it was ever seen.
    Declined {
        /// Stable code.
        code: String,
    },
}

/// What became of a refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundStatus {
    /// Taken in, not done yet.
    Pending,
    /// The money went back.
    Done,
    /// It was taken in and failed; no money moved, and the same refund may be sent again.
    Failed {
        /// Stable code.
        code: String,
    },
}

/// What the provider knows about a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// What became of its authorisation.
    pub authorisation: Authorisation,
    /// Whether its money was taken.
    pub captured: bool,
    /// Whether it was voided.
    pub voided: bool,
    /// Refunds that were done or taken in.
    pub refunds: Vec<(RefundId, RefundStatus)>,
}

/// Moves money. Every call is idempotent by our reference: the same call again does nothing and gives the same answer.
/// Calls may hang or fail after they took effect: whoever calls bounds their time and asks again.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Reserves an amount. `Refused` is a decline and final for this reference.
    async fn authorise(&self, reference: &Reference, amount: Money, token: &str) -> Result<Answer, ProviderError>;

    /// Takes the reserved amount. `Refused` is final and ends the reservation.
    async fn capture(&self, reference: &Reference, amount: Money) -> Result<Answer, ProviderError>;

    /// Lets the reserved amount go, and is remembered for a reference never seen: an authorisation that arrives later is
    /// declined. `Refused` may be tried again.
    async fn void(&self, reference: &Reference) -> Result<Answer, ProviderError>;

    /// Gives captured money back, once per refund id. `Refused` may be tried again.
    async fn refund(&self, reference: &Reference, refund: RefundId, amount: Money) -> Result<Answer, ProviderError>;

    /// What became of a reference; `None` when the provider has not seen it, which does not mean that it never will.
    async fn status(&self, reference: &Reference) -> Result<Option<Charge>, ProviderError>;
}

/// A step claimed for asking the provider; nobody else asks until the claim lapses.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose step.
    pub payment_id: PaymentId,
    /// The step, with the epoch of this claim.
    pub step: Step,
    /// Trace context of what asked for it.
    pub carrier: Carrier,
}

impl Claim {
    /// Our name for the step's attempt at the provider.
    pub fn reference(&self) -> Reference {
        Reference::of(self.payment_id, self.step.attempt)
    }
}

/// A payment that waits longer than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Which one.
    pub payment_id: PaymentId,
    /// Whether booking must answer next: the money is held, and neither capture nor void was asked for.
    pub waits_for_booking: bool,
}

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("the payment database failed")]
    Database(#[from] DbErr),
    /// A row breaks an invariant.
    #[error("row {id} of {table} holds no legal {column}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// Which row.
        id: String,
    },
    /// Somebody else wrote in between; nothing was written.
    #[error("payment {0} was written by somebody else in between")]
    Stale(PaymentId),
}

impl Refusal for StoreError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Database(error) => error.kind(),
            Self::Corrupt { .. } => ErrorKind::Internal,
            Self::Stale(_) => ErrorKind::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Database(error) => error.reason(),
            Self::Corrupt { .. } => "INTERNAL",
            Self::Stale(_) => "UNAVAILABLE",
        }
    }
}

/// Keeps payments. Decisions are written whole or not at all; a payment's row lock is the first one taken.
#[async_trait]
pub trait PaymentStore: Send + Sync {
    /// Begins a transaction of its own, for answers of the provider.
    async fn begin(&self) -> Result<DatabaseTransaction, StoreError>;

    /// The database's time.
    async fn now(&self, transaction: &DatabaseTransaction) -> Result<DateTime<Utc>, StoreError>;

    /// Locks and loads a payment.
    async fn lock(&self, transaction: &DatabaseTransaction, id: PaymentId) -> Result<Option<Payment>, StoreError>;

    /// Writes a decision about a payment locked in the same transaction. `actor` stands in the history.
    async fn write(
        &self,
        transaction: &DatabaseTransaction,
        decision: &Decision,
        actor: &'static str,
    ) -> Result<(), StoreError>;

    /// Wakes the relay and the step worker; called after a commit.
    fn committed(&self);

    /// Claims up to `limit` due steps, each the earliest unfinished one of its payment, for `lapse`.
    async fn claim(&self, limit: usize, lapse: Duration) -> Result<Vec<Claim>, StoreError>;

    /// Gives up the claims of this process, which an earlier life of it may have left behind.
    async fn release_claims(&self) -> Result<(), StoreError>;

    /// Payments that have waited longer than `patience` and were not nudged within it; at most 100.
    async fn overdue(&self, patience: Duration) -> Result<Vec<Overdue>, StoreError>;

    /// How long ago the step was asked for whose outcome has been unknown the longest; `None` when all are known.
    async fn oldest_unknown(&self) -> Result<Option<Duration>, StoreError>;

    /// Tells a payment's last fact once more and notes when.
    async fn tell_again(&self, id: PaymentId) -> Result<(), StoreError>;
}
