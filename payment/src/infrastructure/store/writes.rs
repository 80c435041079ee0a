//! Inserts and updates of what differs between a payment before and after a decision.

use common::telemetry;
use sea_orm::{DatabaseTransaction, Value};
use uuid::Uuid;

use super::SqlStore;
use crate::application::ports::StoreError;
use crate::domain::{Account, Decision, Movement, Payment, PaymentState, Reference, Refund, Step, Work};
use crate::infrastructure::rows::integer;

impl SqlStore {
    pub(super) async fn write_payment(
        &self,
        transaction: &DatabaseTransaction,
        decision: &Decision,
        now: i64,
    ) -> Result<(), StoreError> {
        let next = &decision.next;
        let told = i64::try_from(decision.facts.len()).unwrap_or(i64::MAX);
        let Some(before) = &decision.before else {
            let sql = "INSERT INTO payments (id, customer_id, state, amount_minor, currency, attempt, captured_minor,
                refunded_minor, sequence, version, nudged_at, created_at, updated_at)
                VALUES ($1, $2, $3, $4, $5, 0, 0, 0, $6, 1, 0, $7, $7)";
            let values: [Value; 7] = [
                next.id.into(),
                next.customer_id.clone().into(),
                next.state.word().into(),
                next.amount.amount_minor().into(),
                next.amount.currency().code().into(),
                told.into(),
                now.into(),
            ];
            self.db.execute(transaction, sql, values).await?;
            return Ok(());
        };
        // Steps alone may change; then `updated_at` keeps saying since when the payment waits.
        if row_of(before) == row_of(next) && told == 0 {
            return Ok(());
        }
        let sql =
            "UPDATE payments SET state = $3, attempt = $4, captured_minor = $5, refunded_minor = $6, decline_code = $7,
            sequence = $8, version = version + 1, updated_at = $9 WHERE id = $1 AND version = $2";
        let values: [Value; 9] = [
            next.id.into(),
            before.version.into(),
            next.state.word().into(),
            integer(next.attempt)?.into(),
            next.captured_minor.into(),
            next.refunded_minor.into(),
            next.decline_code.clone().into(),
            (before.sequence + told).into(),
            now.into(),
        ];
        match self.db.execute(transaction, sql, values).await? {
            1 => Ok(()),
            _ => Err(StoreError::Stale(next.id)),
        }
    }

    pub(super) async fn write_steps(
        &self,
        transaction: &DatabaseTransaction,
        before: Option<&Payment>,
        next: &Payment,
        now: i64,
    ) -> Result<(), StoreError> {
        let known = before.map_or(&[][..], |p| &p.steps);
        for (position, step) in next.steps.iter().enumerate() {
            match known.get(position) {
                None => self.insert_step(transaction, next, step, now).await?,
                Some(old) if old != step => self.update_step(transaction, next, step, now).await?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn insert_step(
        &self,
        transaction: &DatabaseTransaction,
        payment: &Payment,
        step: &Step,
        now: i64,
    ) -> Result<(), StoreError> {
        let token = match &step.work {
            Work::Authorise { token } => Some(token.clone()),
            Work::Capture | Work::Void { .. } | Work::Refund { .. } => None,
        };
        let carrier = serde_json::to_string(&telemetry::carry()).expect("a map of strings");
        let sql = "INSERT INTO provider_steps (id, payment_id, ordinal, kind, attempt, reference, refund_id, amount_minor, currency,
            payment_token, state, tries, refusals, next_try_at, claimed_by, claimed_until, claim_epoch, carrier, created_at, updated_at,
            stray)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, $12, '', 0, 0, $13, $14, $14, $15)";
        let values: [Value; 15] = [
            step.id.into(),
            payment.id.into(),
            step.ordinal.into(),
            step.kind().word().into(),
            integer(step.attempt)?.into(),
            Reference::of(payment.id, step.attempt).as_str().into(),
            step.refund().map(|refund| refund.0).into(),
            step.amount.amount_minor().into(),
            step.amount.currency().code().into(),
            token.into(),
            step.state.word().into(),
            step.next_try_at.timestamp_micros().into(),
            carrier.into(),
            now.into(),
            matches!(step.work, Work::Void { stray: true }).into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Writes under the claim epoch the step was loaded with, and ends the claim. An outcome is unknown since it first was.
    async fn update_step(
        &self,
        transaction: &DatabaseTransaction,
        payment: &Payment,
        step: &Step,
        now: i64,
    ) -> Result<(), StoreError> {
        let sql =
            "UPDATE provider_steps SET state = $4, refusals = $5, next_try_at = $6, outcome = $7, claimed_by = '',
            claimed_until = 0, updated_at = $8, alarmed_at = CASE WHEN $4 = 'unknown' THEN alarmed_at ELSE 0 END,
            unknown_since = CASE WHEN $4 = 'unknown' THEN coalesce(unknown_since, $8) END
            WHERE payment_id = $1 AND ordinal = $2 AND claim_epoch = $3";
        let values: [Value; 8] = [
            payment.id.into(),
            step.ordinal.into(),
            step.claim_epoch.into(),
            step.state.word().into(),
            integer(step.refusals)?.into(),
            step.next_try_at.timestamp_micros().into(),
            step.outcome.clone().into(),
            now.into(),
        ];
        match self.db.execute(transaction, sql, values).await? {
            1 => Ok(()),
            _ => Err(StoreError::Stale(payment.id)),
        }
    }

    pub(super) async fn write_refunds(
        &self,
        transaction: &DatabaseTransaction,
        before: Option<&Payment>,
        next: &Payment,
        now: i64,
    ) -> Result<(), StoreError> {
        let known = before.map_or(&[][..], |p| &p.refunds);
        for (position, refund) in next.refunds.iter().enumerate() {
            match known.get(position) {
                None => self.insert_refund(transaction, next, refund, position, now).await?,
                Some(old) if old != refund => {
                    let sql = "UPDATE refunds SET state = $2, updated_at = $3 WHERE id = $1";
                    let values: [Value; 3] = [refund.id.into(), refund.state.word().into(), now.into()];
                    self.db.execute(transaction, sql, values).await?;
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    async fn insert_refund(
        &self,
        transaction: &DatabaseTransaction,
        payment: &Payment,
        refund: &Refund,
        position: usize,
        now: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO refunds (id, payment_id, amount_minor, currency, state, reason, position, created_at, updated_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
        let values: [Value; 8] = [
            refund.id.into(),
            payment.id.into(),
            refund.amount.amount_minor().into(),
            refund.amount.currency().code().into(),
            refund.state.word().into(),
            refund.reason.clone().into(),
            i32::try_from(position).unwrap_or(i32::MAX).into(),
            now.into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    pub(super) async fn write_ledger(
        &self,
        transaction: &DatabaseTransaction,
        decision: &Decision,
        now: i64,
    ) -> Result<(), StoreError> {
        for movement in &decision.movements {
            let (id, amount) = (Uuid::now_v7(), movement.amount.amount_minor());
            let entries = [(movement.kind.debit(), amount, 0), (movement.kind.credit(), 0, amount)];
            for (account, debit, credit) in entries {
                let entry = Entry { movement, id, account, debit, credit };
                self.insert_entry(transaction, decision, &entry, now).await?;
            }
        }
        Ok(())
    }

    async fn insert_entry(
        &self,
        transaction: &DatabaseTransaction,
        decision: &Decision,
        entry: &Entry<'_>,
        now: i64,
    ) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO ledger_entries (payment_id, movement, account, debit_minor, credit_minor, currency, cause, at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let values: [Value; 8] = [
            decision.next.id.into(),
            entry.id.into(),
            entry.account.word().into(),
            entry.debit.into(),
            entry.credit.into(),
            entry.movement.amount.currency().code().into(),
            entry.movement.cause.clone().into(),
            now.into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }
}

/// What of a payment stands in its own row and may change.
fn row_of(payment: &Payment) -> (PaymentState, u32, i64, i64, Option<&str>) {
    let decline_code = payment.decline_code.as_deref();
    (payment.state, payment.attempt, payment.captured_minor, payment.refunded_minor, decline_code)
}

/// One side of a movement.
struct Entry<'a> {
    movement: &'a Movement,
    id: Uuid,
    account: Account,
    debit: i64,
    credit: i64,
}
