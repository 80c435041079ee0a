//! The read model: one select, no locks. Unknown and stuck are read off the steps.

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::db::{Db, placeholders};
use common::ids::PaymentId;
use common::money::Money;
use sea_orm::QueryResult;

use super::rows::{self, Corrupt};
use crate::application::ports::StoreError;
use crate::domain::{PaymentState, StepState};

/// A payment as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentView {
    /// Its id, the same as its booking's.
    pub id: PaymentId,
    /// Subject of the customer's token.
    pub customer_id: String,
    /// Where it stands.
    pub status: Status,
    /// What the booking costs.
    pub amount: Money,
    /// Captured so far, minor units.
    pub captured_minor: i64,
    /// Refunded so far, minor units.
    pub refunded_minor: i64,
    /// Why the current attempt was declined.
    pub decline_code: Option<String>,
    /// Attempts so far.
    pub attempt: u32,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// Where a payment stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its own state.
    Plain(PaymentState),
    /// The outcome of its current step is not known yet.
    Unknown,
    /// A step needs a person.
    Stuck,
}

/// Reads the payments that exist among these ids, in no order.
pub async fn payments(db: &Db, ids: &[PaymentId]) -> Result<Vec<PaymentView>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT p.*,
            (SELECT s.state FROM provider_steps s WHERE s.payment_id = p.id AND s.state IN ('pending', 'unknown')
                ORDER BY s.ordinal LIMIT 1) AS current_step,
            EXISTS (SELECT 1 FROM provider_steps s WHERE s.payment_id = p.id AND s.state = 'stuck') AS has_stuck
         FROM payments p WHERE p.id IN ({})",
        placeholders(ids.len(), 1)
    );
    let rows = db.query(db.reader(), sql, ids.iter().map(|id| (*id).into())).await?;
    rows.iter().map(view).collect()
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
