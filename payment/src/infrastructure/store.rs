//! The payment store: loads a payment under its row lock, and writes what a decision changed, all or nothing.
//! Lock order: request id or provider event, payment row, then its steps and refunds. Claims live in `claims`, the provider's
//! events in `events`, inserts and updates in `writes` and `history`, what people look at in `watch`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use common::db::Db;
use common::failpoint::{self, Step};
use common::ids::{PaymentId, RefundId};
use common::outbox::Outbox;
use common::requests::{self, RequestKey};
use sea_orm::{DatabaseTransaction, DbErr};
use tokio::sync::Notify;

use super::{read, rows};
use crate::application::facts;
use crate::application::ports::{
    Claim, Effect, LongUnknown, Overdue, PaymentStore, ProviderEvent, Standing, StoreError,
};
use crate::application::view::PaymentView;
use crate::domain::{Decision, Payment};

mod claims;
mod events;
mod history;
mod watch;
mod writes;

/// Payments in SQLite or PostgreSQL.
pub struct SqlStore {
    db: Db,
    outbox: Outbox,
    steps_wake: Arc<Notify>,
    instance: String,
}

impl SqlStore {
    /// A store that tells its facts through `outbox`, wakes the step worker through `steps_wake`, and claims steps as
    /// `instance`.
    pub fn new(db: Db, outbox: Outbox, steps_wake: Arc<Notify>, instance: impl Into<String>) -> Self {
        Self { db, outbox, steps_wake, instance: instance.into() }
    }
}

#[async_trait]
impl PaymentStore for SqlStore {
    async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        Ok(self.db.begin().await?)
    }

    async fn now(&self, transaction: &DatabaseTransaction) -> Result<DateTime<Utc>, StoreError> {
        Ok(self.db.now(transaction).await?)
    }

    async fn lock(&self, transaction: &DatabaseTransaction, id: PaymentId) -> Result<Option<Payment>, StoreError> {
        let sql = format!("SELECT * FROM payments WHERE id = $1{}", self.db.for_update());
        let rows = self.db.query(transaction, sql, [id.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut payment = rows::payment(row)?;

        let columns = rows::STEP_COLUMNS;
        let sql = format!("SELECT {columns} FROM provider_steps s WHERE s.payment_id = $1 ORDER BY s.ordinal");
        let rows = self.db.query(transaction, sql, [id.into()]).await?;
        payment.steps = rows.iter().map(rows::step).collect::<Result<_, _>>()?;
        let sql =
            "SELECT id, amount_minor, currency, state, reason FROM refunds WHERE payment_id = $1 ORDER BY position";
        let rows = self.db.query(transaction, sql, [id.into()]).await?;
        payment.refunds = rows.iter().map(rows::refund).collect::<Result<_, _>>()?;
        Ok(Some(payment))
    }

    async fn write(
        &self,
        transaction: &DatabaseTransaction,
        decision: &Decision,
        actor: &str,
    ) -> Result<(), StoreError> {
        if decision.is_empty() {
            return Ok(());
        }
        let (before, next) = (decision.before.as_ref(), &decision.next);
        let now = self.db.now(transaction).await?.timestamp_micros();
        self.write_payment(transaction, decision, now).await?;
        self.write_steps(transaction, before, next, now).await?;
        self.write_refunds(transaction, before, next, now).await?;
        self.write_ledger(transaction, decision, now).await?;
        self.write_history(transaction, decision, actor, now).await?;
        let facts: Vec<_> =
            (next.sequence + 1..).zip(&decision.facts).map(|(at, fact)| facts::write(next.id, at, fact)).collect();
        Ok(self.outbox.append(transaction, &facts).await?)
    }

    fn committed(&self) {
        self.outbox.wake();
        self.steps_wake.notify_one();
    }

    async fn claim(&self, limit: usize, lapse: Duration) -> Result<Vec<Claim>, StoreError> {
        self.claim_due(limit, lapse).await
    }

    async fn release_claims(&self) -> Result<(), StoreError> {
        self.release_own_claims().await
    }

    async fn overdue(&self, patience: Duration) -> Result<Vec<Overdue>, StoreError> {
        self.overdue_payments(patience).await
    }

    async fn standing(&self) -> Result<Standing, StoreError> {
        self.count_standing().await
    }

    async fn alarm_unknown(&self, patience: Duration) -> Result<Vec<LongUnknown>, StoreError> {
        self.mark_alarmed(patience).await
    }

    async fn note_event(&self, transaction: &DatabaseTransaction, event: &ProviderEvent) -> Result<bool, StoreError> {
        self.insert_event(transaction, event).await
    }

    async fn settle_event(
        &self,
        transaction: &DatabaseTransaction,
        id: &str,
        effect: Effect,
    ) -> Result<(), StoreError> {
        self.update_event(transaction, id, effect).await
    }

    async fn forget_events(&self, age: Duration) -> Result<u64, StoreError> {
        self.delete_events(age).await
    }

    async fn claim_request(
        &self,
        transaction: &DatabaseTransaction,
        key: &RequestKey,
    ) -> Result<requests::Claim, StoreError> {
        Ok(requests::claim(&self.db, transaction, key).await?)
    }

    async fn remember_answer(
        &self,
        transaction: &DatabaseTransaction,
        key: &RequestKey,
        answer: Vec<u8>,
    ) -> Result<(), StoreError> {
        Ok(requests::answer(&self.db, transaction, key, answer).await?)
    }

    async fn view(&self, transaction: &DatabaseTransaction, id: PaymentId) -> Result<PaymentView, StoreError> {
        let found = read::payments(&self.db, transaction, &[id]).await?.pop();
        found.ok_or_else(|| DbErr::RecordNotFound(format!("payment {id}")).into())
    }

    async fn payment_of_refund(&self, refund: RefundId) -> Result<Option<PaymentId>, StoreError> {
        let sql = "SELECT payment_id FROM refunds WHERE id = $1";
        let rows = self.db.query(self.db.reader(), sql, [refund.into()]).await?;
        Ok(rows.first().map(|row| row.try_get("", "payment_id")).transpose()?)
    }

    async fn tell_again(&self, id: PaymentId) -> Result<(), StoreError> {
        let transaction = self.db.begin().await?;
        let sql = format!("UPDATE payments SET nudged_at = {} WHERE id = $1", self.db.now_sql());
        self.db.execute(&transaction, sql, [id.into()]).await?;
        self.outbox.tell_last_again(&transaction, id.0).await?;
        Ok(failpoint::around(Step::TellAgain, ["last fact"], transaction.commit()).await?)
    }
}
