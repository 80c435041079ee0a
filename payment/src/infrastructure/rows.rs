//! Rows to domain: a row that breaks an invariant names its table, column and id.

use common::clock::from_micros;
use common::ids::{PaymentId, RefundId};
use common::money::{Currency, Money};
use sea_orm::{DbErr, QueryResult};

use crate::application::ports::StoreError;
use crate::domain::{Payment, PaymentState, Refund, RefundState, Step, StepKind, StepState, Work};

/// Columns of `provider_steps` that [`step`] reads.
pub const STEP_COLUMNS: &str =
    "s.id, s.payment_id, s.ordinal, s.kind, s.stray, s.attempt, s.refund_id, s.amount_minor, s.currency, s.payment_token,
    s.state, s.tries, s.refusals, s.next_try_at, s.claim_epoch, s.outcome, s.carrier";

/// Reads a payment, still without steps and refunds.
pub fn payment(row: &QueryResult) -> Result<Payment, StoreError> {
    let id: PaymentId = row.try_get("", "id")?;
    let corrupt = Corrupt { table: "payments", id: id.to_string() };
    Ok(Payment {
        id,
        customer_id: row.try_get("", "customer_id")?,
        state: corrupt.word(row, "state", PaymentState::parse)?,
        amount: corrupt.money(row)?,
        attempt: corrupt.count(row, "attempt")?,
        captured_minor: row.try_get("", "captured_minor")?,
        refunded_minor: row.try_get("", "refunded_minor")?,
        decline_code: row.try_get("", "decline_code")?,
        sequence: row.try_get("", "sequence")?,
        version: row.try_get("", "version")?,
        steps: Vec::new(),
        refunds: Vec::new(),
    })
}

/// Reads a step.
pub fn step(row: &QueryResult) -> Result<Step, StoreError> {
    let payment: PaymentId = row.try_get("", "payment_id")?;
    let ordinal: i32 = row.try_get("", "ordinal")?;
    let corrupt = Corrupt { table: "provider_steps", id: format!("{payment} {ordinal}") };
    let work = match corrupt.word(row, "kind", StepKind::parse)? {
        StepKind::Authorise => {
            let token: Option<String> = row.try_get("", "payment_token")?;
            Work::Authorise { token: token.ok_or_else(|| corrupt.error("payment_token"))? }
        }
        StepKind::Capture => Work::Capture,
        StepKind::Void => Work::Void { stray: row.try_get("", "stray")? },
        StepKind::Refund => {
            let refund: Option<RefundId> = row.try_get("", "refund_id")?;
            Work::Refund { refund: refund.ok_or_else(|| corrupt.error("refund_id"))? }
        }
    };
    Ok(Step {
        id: row.try_get("", "id")?,
        ordinal,
        work,
        attempt: corrupt.count(row, "attempt")?,
        amount: corrupt.money(row)?,
        state: corrupt.word(row, "state", StepState::parse)?,
        tries: corrupt.count(row, "tries")?,
        refusals: corrupt.count(row, "refusals")?,
        next_try_at: from_micros(row.try_get("", "next_try_at")?),
        claim_epoch: row.try_get("", "claim_epoch")?,
        outcome: row.try_get("", "outcome")?,
    })
}

/// Reads a refund.
pub fn refund(row: &QueryResult) -> Result<Refund, StoreError> {
    let id: RefundId = row.try_get("", "id")?;
    let corrupt = Corrupt { table: "refunds", id: id.to_string() };
    Ok(Refund {
        id,
        amount: corrupt.money(row)?,
        state: corrupt.word(row, "state", RefundState::parse)?,
        reason: row.try_get("", "reason")?,
    })
}

/// Names the row while its columns are read.
pub struct Corrupt {
    /// Where.
    pub table: &'static str,
    /// Which row.
    pub id: String,
}

impl Corrupt {
    /// The error for one column.
    pub fn error(&self, column: &'static str) -> StoreError {
        StoreError::Corrupt { table: self.table, column, id: self.id.clone() }
    }

    /// Reads a stored word.
    pub fn word<T>(
        &self,
        row: &QueryResult,
        column: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        let word: String = row.try_get("", column)?;
        parse(&word).ok_or_else(|| self.error(column))
    }

    /// Reads `amount_minor` and `currency`.
    pub fn money(&self, row: &QueryResult) -> Result<Money, StoreError> {
        let code: String = row.try_get("", "currency")?;
        let currency = Currency::parse(&code).map_err(|_| self.error("currency"))?;
        Money::new(row.try_get("", "amount_minor")?, currency).map_err(|_| self.error("amount_minor"))
    }

    /// Reads a count.
    pub fn count(&self, row: &QueryResult, column: &'static str) -> Result<u32, StoreError> {
        let count: i32 = row.try_get("", column)?;
        u32::try_from(count).map_err(|_| self.error(column))
    }
}

/// A count as its column holds it.
pub fn integer(count: u32) -> Result<i32, DbErr> {
    i32::try_from(count).map_err(|_| DbErr::Custom(format!("count {count} does not fit its column")))
}
