//! Rows of the provider's ledger: read, inserted, updated, and the story each effect leaves.

use common::ids::RefundId;
use common::money::{Currency, Money, MoneyError};
use common::test_token::TestToken;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Value};

use super::{ChargeRow, ChargeState, Ledger, NewCharge, micros};
use crate::domain::Reference;

/// Reads `amount_minor` and `currency`.
pub(super) fn money(row: &QueryResult) -> Result<Money, DbErr> {
    let currency: String = row.try_get("", "currency")?;
    let broken = |error: MoneyError| DbErr::Type(format!("{currency:?}: {error}"));
    Money::new(row.try_get("", "amount_minor")?, Currency::parse(&currency).map_err(broken)?).map_err(broken)
}

impl Ledger {
    pub(super) async fn read(
        &self,
        connection: &impl ConnectionTrait,
        reference: &Reference,
        lock: &str,
    ) -> Result<Option<ChargeRow>, DbErr> {
        let now = self.db.now_sql();
        let sql = format!("SELECT c.*, known_at > {now} AS pending FROM provider_charges c WHERE reference = $1{lock}");
        let rows = self.db.query(connection, sql, [reference.as_str().into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (state, currency): (String, String) = (row.try_get("", "state")?, row.try_get("", "currency")?);
        let token: String = row.try_get("", "token")?;
        let amount_minor: i64 = row.try_get("", "amount_minor")?;
        let amount = Currency::parse(&currency).ok().and_then(|currency| Money::new(amount_minor, currency).ok());
        Ok(Some(ChargeRow {
            state: ChargeState::parse(&state)?,
            decline_code: row.try_get("", "decline_code")?,
            amount,
            pending: row.try_get("", "pending")?,
            token: TestToken::parse(&token),
            captured_minor: row.try_get("", "captured_minor")?,
            refunded_minor: row.try_get("", "refunded_minor")?,
            refund_refusals: row.try_get("", "refund_refusals")?,
        }))
    }

    /// Inserts a charge; false when the reference is known.
    pub(super) async fn insert(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        charge: &NewCharge<'_>,
    ) -> Result<bool, DbErr> {
        let sql = format!(
            "INSERT INTO provider_charges (reference, token, state, decline_code, amount_minor, currency, captured_minor,
                voided_minor, refunded_minor, known_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, {now} + $7, {now}, {now}) ON CONFLICT (reference) DO NOTHING",
            now = self.db.now_sql()
        );
        let values: [Value; 7] = [
            reference.as_str().into(),
            charge.token.into(),
            charge.state.word().into(),
            charge.decline_code.map(str::to_owned).into(),
            charge.amount.map_or(0, Money::amount_minor).into(),
            charge.amount.map_or("", |amount| amount.currency().code()).into(),
            micros(charge.known_after).into(),
        ];
        Ok(self.db.execute(transaction, sql, values).await? == 1)
    }

    pub(super) async fn update<const N: usize>(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        set: &str,
        amounts: [i64; N],
    ) -> Result<(), DbErr> {
        let now = self.db.now_sql();
        let sql = format!("UPDATE provider_charges SET {set}, updated_at = {now} WHERE reference = $1");
        let values = std::iter::once(reference.as_str().into()).chain(amounts.map(Value::from));
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    pub(super) async fn enter(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        kind: &str,
        refund: Option<RefundId>,
        amount: Money,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO provider_entries (reference, kind, refund_id, amount_minor, currency, at)
             VALUES ($1, $2, $3, $4, $5, {})",
            self.db.now_sql()
        );
        let values: [Value; 5] = [
            reference.as_str().into(),
            kind.into(),
            refund.map(|refund| refund.0).into(),
            amount.amount_minor().into(),
            amount.currency().code().into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }
}
