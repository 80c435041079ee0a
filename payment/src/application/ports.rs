//! What payment needs from outside: a provider that moves money, and a store that keeps decisions whole.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::error::{ErrorKind, Refusal};
use common::ids::{PaymentId, RefundId};
use common::money::Money;
use common::requests::{self, RequestKey};
use common::telemetry::Carrier;
use sea_orm::{DatabaseTransaction, DbErr};

use super::view::PaymentView;
use crate::domain::{Decision, News, Payment, Reference, Step, StepKind};

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
    /// It answered about another amount than it was asked about.
    #[error("the provider answered about {said}, another amount")]
    Mismatch {
        /// The amount it names.
        said: Money,
    },
}

/// What became of an authorisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorisation {
    /// Still being decided.
    Pending,
    /// The money is or was held.
    Approved {
        /// How much.
        amount: Money,
    },
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
    Done {
        /// How much.
        amount: Money,
    },
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
    /// What was taken of its money.
    pub captured: Option<Money>,
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

/// Something the provider tells unasked. It tells it until it is taken in, so it may come often, late and in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    /// The provider's id of it: the same event always has the same one.
    pub id: String,
    /// Which reference, in the provider's words.
    pub reference: String,
    /// What it tells.
    pub news: News,
}

/// A step claimed for asking the provider; nobody else asks until the claim lapses.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose step.
    pub payment_id: PaymentId,
    /// The step, with the epoch of this claim.
    pub step: Step,
    /// For how long its outcome has been unknown.
    pub unknown_for: Option<Duration>,
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

/// A step whose outcome has been unknown for longer than it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongUnknown {
    /// Whose step.
    pub payment_id: PaymentId,
    /// Of which kind.
    pub kind: StepKind,
    /// What the provider said last.
    pub reason: String,
    /// For how long.
    pub age: Duration,
}

/// What a person should keep an eye on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// Steps whose outcome is unknown, by kind.
    pub unknown: HashMap<StepKind, u64>,
    /// Steps that are stuck, by kind.
    pub stuck: HashMap<StepKind, u64>,
    /// For how long the outcome has been unknown that has been so the longest.
    pub oldest_unknown: Option<Duration>,
}

/// What came of something the provider told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The payment changed.
    Applied,
    /// It was known, or changes nothing.
    None,
    /// It is about a reference that is none of ours.
    NotOurs,
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
        actor: &str,
    ) -> Result<(), StoreError>;

    /// Wakes the relay and the step worker; called after a commit.
    fn committed(&self);

    /// Claims up to `limit` due steps, each the earliest unfinished one of its payment, for `lapse`.
    async fn claim(&self, limit: usize, lapse: Duration) -> Result<Vec<Claim>, StoreError>;

    /// Gives up the claims of this process, which an earlier life of it may have left behind.
    async fn release_claims(&self) -> Result<(), StoreError>;

    /// Payments that have waited longer than `patience` and were not nudged within it; at most 100.
    async fn overdue(&self, patience: Duration) -> Result<Vec<Overdue>, StoreError>;

    /// Unknown and stuck steps, counted.
    async fn standing(&self) -> Result<Standing, StoreError>;

    /// Steps whose outcome has been unknown for longer than `patience` and that raised no alarm within it; from now on
    /// they have. At most 100.
    async fn alarm_unknown(&self, patience: Duration) -> Result<Vec<LongUnknown>, StoreError>;

    /// Notes an event of the provider's; false when it was noted before, and then nothing is to be done.
    async fn note_event(&self, transaction: &DatabaseTransaction, event: &ProviderEvent) -> Result<bool, StoreError>;

    /// Notes what came of an event noted in the same transaction.
    async fn settle_event(&self, transaction: &DatabaseTransaction, id: &str, effect: Effect)
    -> Result<(), StoreError>;

    /// Forgets events of the provider's that are older than this.
    async fn forget_events(&self, age: Duration) -> Result<u64, StoreError>;

    /// Claims a request id inside the transaction of its work.
    async fn claim_request(
        &self,
        transaction: &DatabaseTransaction,
        key: &RequestKey,
    ) -> Result<requests::Claim, StoreError>;

    /// Remembers the answer to a request, in the same transaction.
    async fn remember_answer(
        &self,
        transaction: &DatabaseTransaction,
        key: &RequestKey,
        answer: Vec<u8>,
    ) -> Result<(), StoreError>;

    /// A payment as callers see it, read inside a transaction.
    async fn view(&self, transaction: &DatabaseTransaction, id: PaymentId) -> Result<PaymentView, StoreError>;

    /// The payment that owes a refund.
    async fn payment_of_refund(&self, refund: RefundId) -> Result<Option<PaymentId>, StoreError>;

    /// Tells a payment's last fact once more and notes when.
    async fn tell_again(&self, id: PaymentId) -> Result<(), StoreError>;
}
