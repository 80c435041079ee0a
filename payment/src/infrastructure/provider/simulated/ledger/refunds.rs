//! Refunds in the provider's ledger: done once per refund id, at first refused or taken in as their charge's token says.

use std::time::Duration;

use common::ids::RefundId;
use common::money::Money;
use common::test_token::TestToken;
use sea_orm::{DatabaseTransaction, DbErr, QueryResult, Value};

use super::rows::money;
use super::{ChargeRow, ChargeState, Ledger, Telling, as_asked, micros, refused};
use crate::application::ports::{Answer, ProviderError, RefundStatus};
use crate::domain::{News, Reference};

/// How long a refund that is going to fail is pending.
const PENDING: Duration = Duration::from_secs(2);
/// Code for a refund that its token makes fail.
const REFUND_REFUSED: &str = "REFUND_REFUSED";
/// Code for a refund that was pending and failed.
const REFUND_FAILED: &str = "REFUND_FAILED";

impl Ledger {
    /// Every refund of a reference that was done or taken in; refusals are not kept.
    pub async fn refunds(&self, reference: &Reference) -> Result<Vec<(RefundId, RefundStatus)>, DbErr> {
        let sql = format!(
            "SELECT refund_id, TRUE AS done, FALSE AS pending, amount_minor, currency FROM provider_refunds WHERE reference = $1
             UNION ALL
             SELECT refund_id, FALSE AS done, fails_at > {} AS pending, 0 AS amount_minor, '' AS currency FROM provider_pending_refunds p WHERE reference = $1
                AND NOT EXISTS (SELECT 1 FROM provider_refunds r WHERE r.refund_id = p.refund_id)
             ORDER BY refund_id",
            self.db.now_sql()
        );
        let rows = self.db.query(self.db.reader(), sql, [reference.as_str().into()]).await?;
        rows.iter().map(|row| Ok((row.try_get("", "refund_id")?, status(row)?))).collect()
    }

    /// Gives captured money back, once per refund id.
    pub async fn refund(
        &self,
        reference: &Reference,
        refund: RefundId,
        amount: Money,
    ) -> Result<Answer, ProviderError> {
        let transaction = self.db.begin().await?;
        let Some(charge) = self.read(&transaction, reference, self.db.for_update()).await? else {
            return Ok(refused("NOT_CAPTURED"));
        };
        if charge.state != ChargeState::Captured {
            return Ok(refused("NOT_CAPTURED"));
        }
        if let Some(known) = self.refunded(&transaction, refund).await? {
            return as_asked(Some(known), amount);
        }
        let same_currency = charge.amount.is_some_and(|held| held.currency() == amount.currency());
        let refunded = charge.refunded_minor.saturating_add(amount.amount_minor());
        if !same_currency || amount.is_zero() || refunded > charge.captured_minor {
            return Ok(refused("REFUND_EXCEEDS"));
        }
        let answer = match self.spoiled(&transaction, reference, refund, &charge).await? {
            Some(answer) => answer,
            None => {
                self.give_back(&transaction, reference, refund, amount, refunded).await?;
                Answer::Done
            }
        };
        transaction.commit().await?;
        self.told();
        Ok(answer)
    }

    /// What the token of the charge makes of this call; `None` when the money may go back.
    async fn spoiled(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        refund: RefundId,
        charge: &ChargeRow,
    ) -> Result<Option<Answer>, DbErr> {
        match charge.token {
            Some(TestToken::RefundFails { times }) if charge.refund_refusals < i64::from(times) => {
                let refusals = charge.refund_refusals + 1;
                self.update(transaction, reference, "refund_refusals = $2", [refusals]).await?;
                Ok(Some(refused(REFUND_REFUSED)))
            }
            Some(TestToken::RefundPendingThenFailed) => {
                let pending = self.take_in(transaction, reference, refund).await?;
                Ok(pending.then_some(Answer::Pending))
            }
            Some(
                TestToken::RefundFails { .. }
                | TestToken::Approve
                | TestToken::Decline
                | TestToken::InsufficientFunds
                | TestToken::Slow
                | TestToken::TimeoutThenApproved
                | TestToken::TimeoutThenDeclined
                | TestToken::DuplicateCallback
                | TestToken::CallbackFirst
                | TestToken::ApproveAfter { .. }
                | TestToken::CaptureFails,
            )
            | None => Ok(None),
        }
    }

    /// Takes a refund in that will fail, once; false when it has failed already.
    async fn take_in(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        refund: RefundId,
    ) -> Result<bool, DbErr> {
        let now = self.db.now_sql();
        let sql = format!(
            "INSERT INTO provider_pending_refunds (refund_id, reference, fails_at) VALUES ($1, $2, {now} + $3)
             ON CONFLICT (refund_id) DO NOTHING"
        );
        let values: [Value; 3] = [refund.into(), reference.as_str().into(), micros(PENDING).into()];
        if self.db.execute(transaction, sql, values).await? == 1 {
            let failed = News::RefundFailed { refund, code: REFUND_FAILED.to_owned() };
            self.tell(transaction, reference, &failed, Telling { after: PENDING, ..Telling::AT_ONCE }).await?;
        }
        let sql = format!("SELECT fails_at > {now} AS pending FROM provider_pending_refunds WHERE refund_id = $1");
        let rows = self.db.query(transaction, sql, [refund.into()]).await?;
        rows.first().map_or(Ok(false), |row| row.try_get("", "pending"))
    }

    async fn give_back(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        refund: RefundId,
        amount: Money,
        refunded_minor: i64,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO provider_refunds (refund_id, reference, amount_minor, currency, created_at)
             VALUES ($1, $2, $3, $4, {})",
            self.db.now_sql()
        );
        let values: [Value; 4] =
            [refund.into(), reference.as_str().into(), amount.amount_minor().into(), amount.currency().code().into()];
        self.db.execute(transaction, sql, values).await?;
        self.update(transaction, reference, "refunded_minor = $2", [refunded_minor]).await?;
        self.enter(transaction, reference, "refund", Some(refund), amount).await?;
        self.tell(transaction, reference, &News::Refunded { refund, amount }, Telling::SOON).await
    }

    async fn refunded(&self, transaction: &DatabaseTransaction, refund: RefundId) -> Result<Option<Money>, DbErr> {
        let sql = "SELECT amount_minor, currency FROM provider_refunds WHERE refund_id = $1";
        let rows = self.db.query(transaction, sql, [refund.into()]).await?;
        rows.first().map(money).transpose()
    }
}

fn status(row: &QueryResult) -> Result<RefundStatus, DbErr> {
    let (done, pending): (bool, bool) = (row.try_get("", "done")?, row.try_get("", "pending")?);
    Ok(match (done, pending) {
        (true, _) => RefundStatus::Done { amount: money(row)? },
        (false, true) => RefundStatus::Pending,
        (false, false) => RefundStatus::Failed { code: REFUND_FAILED.to_owned() },
    })
}
