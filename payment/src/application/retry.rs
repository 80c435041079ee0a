//! An Admin has the provider asked again about a step that is stuck.

use common::auth::Principal;
use common::error::{ErrorKind, Refusal};
use common::failpoint::{self, Step};
use common::ids::{PaymentId, RefundId};
use common::requests::{Claim, RequestIdError, RequestKey};
use sea_orm::DatabaseTransaction;
use tracing::instrument;

use super::ports::{PaymentStore, StoreError};
use super::view::PaymentView;
use crate::domain::{Decision, NotStuck, Payment};

/// Which stuck step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// A refund, by its key; of this payment, when one is named.
    Refund {
        /// Key of the refund.
        refund: RefundId,
        /// Whose refund it must be.
        payment: Option<PaymentId>,
    },
    /// The void of an attempt.
    Void {
        /// Whose attempt.
        payment: PaymentId,
        /// Which attempt.
        attempt: u32,
    },
}

/// Why nothing is asked again.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is no such refund or attempt.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is not stuck.
    #[error(transparent)]
    NotStuck(NotStuck),
    /// The request id is malformed or was used for something else.
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
    /// The database failed.
    #[error("the retry could not be stored")]
    Store(#[from] StoreError),
}

impl Refusal for RetryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) | Self::NotStuck(NotStuck::Missing) => ErrorKind::NotFound,
            Self::NotStuck(NotStuck::Found(_)) => ErrorKind::FailedPrecondition,
            Self::RequestId(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound(_) | Self::NotStuck(NotStuck::Missing) => "NOT_FOUND",
            Self::NotStuck(NotStuck::Found(_)) => "INVALID_STATE",
            Self::RequestId(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::RequestId(error) => error.field(),
            Self::NotFound(_) | Self::NotStuck(_) | Self::Store(_) => None,
        }
    }
}

/// Re-opens a stuck step, once per request id, and returns what `answer` makes of the payment as it is then: the same bytes
/// for every call with that id.
///
/// # Errors
/// There is no such step, it is not stuck, or the request id is used for something else.
#[instrument(name = "payment.retry", skip_all, fields(actor = who.subject))]
pub async fn retry(
    store: &dyn PaymentStore,
    who: &Principal,
    key: &RequestKey,
    stuck: Stuck,
    answer: impl Fn(PaymentView) -> Vec<u8>,
) -> Result<Vec<u8>, RetryError> {
    let transaction = store.begin().await?;
    match store.claim_request(&transaction, key).await? {
        Claim::New => {}
        Claim::Answered(before) => return Ok(before),
        Claim::Different => return Err(RequestIdError::Conflict.into()),
    }
    let decision = reopen(store, &transaction, stuck).await?;
    store.write(&transaction, &decision, &who.subject).await?;
    let answered = answer(store.view(&transaction, decision.next.id).await?);
    store.remember_answer(&transaction, key, answered.clone()).await?;
    failpoint::around(Step::Retry, ["retry"], transaction.commit()).await.map_err(StoreError::from)?;
    store.committed();

    let payment = decision.next.id;
    tracing::info!(payment.id = %payment, ?stuck, "payment {payment}: a stuck step is asked again");
    Ok(answered)
}

async fn reopen(
    store: &dyn PaymentStore,
    transaction: &DatabaseTransaction,
    stuck: Stuck,
) -> Result<Decision, RetryError> {
    match stuck {
        Stuck::Refund { refund, payment } => {
            let owner = store.payment_of_refund(refund).await?;
            let owner = owner.filter(|owner| payment.is_none_or(|named| named == *owner));
            let payment = locked(store, transaction, owner).await?.ok_or(RetryError::NotFound("refund"))?;
            payment.retry_refund(refund).map_err(RetryError::NotStuck)
        }
        Stuck::Void { payment, attempt } => {
            let payment = locked(store, transaction, Some(payment)).await?.ok_or(RetryError::NotFound("payment"))?;
            payment.retry_void(attempt).map_err(RetryError::NotStuck)
        }
    }
}

async fn locked(
    store: &dyn PaymentStore,
    transaction: &DatabaseTransaction,
    id: Option<PaymentId>,
) -> Result<Option<Payment>, StoreError> {
    match id {
        Some(id) => store.lock(transaction, id).await,
        None => Ok(None),
    }
}
