//! The read model: one select, no locks. Unknown and stuck are read off the steps.

use common::clock::from_micros;
use common::db::{Db, placeholders};
use common::ids::{PaymentId, StepId};
use common::money::{Currency, Money};
use sea_orm::{ConnectionTrait, QueryResult, Value};

use super::rows::{self, Corrupt};
use crate::application::ports::StoreError;
use crate::application::view::{PaymentView, Status, StuckKey, StuckView};
use crate::domain::{StepKind, StepState};

/// What of a payment is read off its steps.
const OF_STEPS: &str = "
    (SELECT s.state FROM provider_steps s WHERE s.payment_id = p.id AND s.state IN ('pending', 'unknown')
        ORDER BY s.ordinal LIMIT 1) AS current_step,
    EXISTS (SELECT 1 FROM provider_steps s WHERE s.payment_id = p.id AND s.state = 'stuck') AS has_stuck";

/// Reads the payments that exist among these ids, in no order.
pub async fn payments(
    db: &Db,
    connection: &impl ConnectionTrait,
    ids: &[PaymentId],
) -> Result<Vec<PaymentView>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let list = placeholders(ids.len(), 1);
    let sql = format!("SELECT p.*, {OF_STEPS} FROM payments p WHERE p.id IN ({list})");
    let rows = db.query(connection, sql, ids.iter().map(|id| (*id).into())).await?;
    rows.iter().map(view).collect()
}

/// Reads up to `limit` stuck steps with their payments, longest stuck first, after one of them.
pub async fn stuck(db: &Db, after: Option<StuckKey>, limit: u32) -> Result<Vec<StuckView>, StoreError> {
    let sql = format!(
        "SELECT p.*, {OF_STEPS}, t.id AS step_id, t.kind AS step_kind, t.refund_id AS step_refund_id,
            t.attempt AS step_attempt, t.amount_minor AS step_amount_minor, t.currency AS step_currency,
            t.outcome AS step_outcome, t.tries AS step_tries, t.updated_at AS step_updated_at
         FROM provider_steps t JOIN payments p ON p.id = t.payment_id
         WHERE t.state = 'stuck' AND (t.updated_at, t.id) > ($1, $2) ORDER BY t.updated_at, t.id LIMIT {limit}"
    );
    let StuckKey { since, step } = after.unwrap_or(StuckKey { since: i64::MIN, step: StepId(uuid::Uuid::nil()) });
    let values: [Value; 2] = [since.into(), step.into()];
    db.query(db.reader(), sql, values).await?.iter().map(stuck_view).collect()
}

fn stuck_view(row: &QueryResult) -> Result<StuckView, StoreError> {
    let step: StepId = row.try_get("", "step_id")?;
    let corrupt = Corrupt { table: "provider_steps", id: step.to_string() };
    let currency: String = row.try_get("", "step_currency")?;
    let currency = Currency::parse(&currency).map_err(|_| corrupt.error("currency"))?;
    let amount = Money::new(row.try_get("", "step_amount_minor")?, currency);
    let outcome: Option<String> = row.try_get("", "step_outcome")?;
    let since: i64 = row.try_get("", "step_updated_at")?;
    Ok(StuckView {
        key: StuckKey { since, step },
        payment: view(row)?,
        kind: corrupt.word(row, "step_kind", StepKind::parse)?,
        refund: row.try_get("", "step_refund_id")?,
        attempt: corrupt.count(row, "step_attempt")?,
        amount: amount.map_err(|_| corrupt.error("amount_minor"))?,
        reason: outcome.unwrap_or_default(),
        since: from_micros(since),
        tries: corrupt.count(row, "step_tries")?,
    })
}

fn view(row: &QueryResult) -> Result<PaymentView, StoreError> {
    let payment = rows::payment(row)?;
    let corrupt = Corrupt { table: "provider_steps", id: payment.id.to_string() };
    let current: Option<String> = row.try_get("", "current_step")?;
    let current = current.map(|word| StepState::parse(&word).ok_or_else(|| corrupt.error("state"))).transpose()?;
    let status = if current == Some(StepState::Unknown) {
        Status::Unknown
    } else if row.try_get("", "has_stuck")? {
        Status::Stuck
    } else {
        Status::Plain(payment.state)
    };
    Ok(PaymentView {
        id: payment.id,
        customer_id: payment.customer_id,
        status,
        amount: payment.amount,
        captured_minor: payment.captured_minor,
        refunded_minor: payment.refunded_minor,
        decline_code: payment.decline_code,
        attempt: payment.attempt,
        created_at: from_micros(row.try_get("", "created_at")?),
    })
}
