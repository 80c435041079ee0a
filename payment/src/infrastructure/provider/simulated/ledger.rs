//! The simulated provider's ledger: every effect commits once per reference, whoever asks and however often.

use common::db::Db;
use common::ids::RefundId;
use common::money::{Currency, Money};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, Value};

use crate::domain::Reference;

/// Code for an authorisation that arrives after its void.
const VOIDED: &str = "VOIDED";

/// An effect, or the code of its refusal.
pub type Outcome = Result<(), &'static str>;

/// Where a charge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChargeState {
    /// The money is held.
    Approved,
    /// It never was.
    Declined,
    /// It was taken.
    Captured,
    /// It was let go, or may never be held.
    Voided,
}

impl ChargeState {
    fn word(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Captured => "captured",
            Self::Voided => "voided",
        }
    }

    fn parse(word: &str) -> Result<Self, DbErr> {
        [Self::Approved, Self::Declined, Self::Captured, Self::Voided]
            .into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| DbErr::Type(format!("provider_charges.state {word:?}")))
    }
}

/// What is known about a reference.
#[derive(Debug, Clone)]
pub struct ChargeRow {
    /// Where it stands.
    pub state: ChargeState,
    /// Why its authorisation was or will be declined.
    pub decline_code: Option<String>,
    /// What was asked for; `None` when only a void was ever seen.
    pub amount: Option<Money>,
    captured_minor: i64,
    refunded_minor: i64,
}

/// The ledger.
pub struct Ledger {
    db: Db,
}

impl Ledger {
    /// In this database.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// What is known about a reference.
    pub async fn charge(&self, reference: &Reference) -> Result<Option<ChargeRow>, DbErr> {
        self.read(self.db.reader(), reference, "").await
    }

    /// Refunds done for a reference.
    pub async fn refunds(&self, reference: &Reference) -> Result<Vec<RefundId>, DbErr> {
        let sql = "SELECT refund_id FROM provider_refunds WHERE reference = $1 ORDER BY refund_id";
        let rows = self.db.query(self.db.reader(), sql, [reference.as_str().into()]).await?;
        rows.iter().map(|row| row.try_get("", "refund_id")).collect()
    }

    /// Records a verdict, unless the reference is known already; what then stands is returned.
    pub async fn authorise(
        &self,
        reference: &Reference,
        amount: Money,
        token: &str,
        verdict: Outcome,
    ) -> Result<ChargeRow, DbErr> {
        let (state, kind) = match verdict {
            Ok(()) => (ChargeState::Approved, "authorise"),
            Err(_) => (ChargeState::Declined, "decline"),
        };
        let transaction = self.db.begin().await?;
        let charge = NewCharge { state, decline_code: verdict.err(), amount: Some(amount), token };
        if self.insert(&transaction, reference, &charge).await? {
            self.enter(&transaction, reference, kind, None, amount).await?;
        }
        let charge = self.read(&transaction, reference, "").await?;
        transaction.commit().await?;
        charge.ok_or_else(|| DbErr::RecordNotFound(format!("charge {reference}")))
    }

    /// Takes the held money; what is not taken is let go.
    pub async fn capture(&self, reference: &Reference, amount: Money) -> Result<Outcome, DbErr> {
        let transaction = self.db.begin().await?;
        let Some(charge) = self.read(&transaction, reference, self.db.for_update()).await? else {
            return Ok(Err("NOT_AUTHORISED"));
        };
        match charge.state {
            ChargeState::Captured if charge.captured_minor == amount.amount_minor() => return Ok(Ok(())),
            ChargeState::Captured => return Ok(Err("ALREADY_CAPTURED")),
            ChargeState::Declined | ChargeState::Voided => return Ok(Err("NOT_AUTHORISED")),
            ChargeState::Approved => {}
        }
        let Some(rest) = charge.amount.and_then(|held| held.checked_sub(amount).ok()) else {
            return Ok(Err("AMOUNT_MISMATCH"));
        };
        let sql = "captured_minor = $2, voided_minor = $3, state = 'captured'";
        self.update(&transaction, reference, sql, [amount.amount_minor(), rest.amount_minor()]).await?;
        self.enter(&transaction, reference, "capture", None, amount).await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// Lets held money go, and sees to it that a reference never seen will never be held.
    pub async fn void(&self, reference: &Reference) -> Result<Outcome, DbErr> {
        let transaction = self.db.begin().await?;
        let never = NewCharge { state: ChargeState::Voided, decline_code: Some(VOIDED), amount: None, token: "" };
        if self.insert(&transaction, reference, &never).await? {
            transaction.commit().await?;
            return Ok(Ok(()));
        }
        let Some(charge) = self.read(&transaction, reference, self.db.for_update()).await? else {
            return Err(DbErr::RecordNotFound(format!("charge {reference}")));
        };
        match (charge.state, charge.amount) {
            (ChargeState::Captured, _) => return Ok(Err("ALREADY_CAPTURED")),
            (ChargeState::Declined | ChargeState::Voided, _) | (ChargeState::Approved, None) => return Ok(Ok(())),
            (ChargeState::Approved, Some(held)) => {
                let sql = "captured_minor = $2, voided_minor = $3, state = 'voided'";
                self.update(&transaction, reference, sql, [0, held.amount_minor()]).await?;
                self.enter(&transaction, reference, "void", None, held).await?;
            }
        }
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// Gives captured money back, once per refund id.
    pub async fn refund(&self, reference: &Reference, refund: RefundId, amount: Money) -> Result<Outcome, DbErr> {
        let transaction = self.db.begin().await?;
        let Some(charge) = self.read(&transaction, reference, self.db.for_update()).await? else {
            return Ok(Err("NOT_CAPTURED"));
        };
        if charge.state != ChargeState::Captured {
            return Ok(Err("NOT_CAPTURED"));
        }
        if let Some(known) = self.refunded(&transaction, refund).await? {
            return Ok(if known == amount.amount_minor() { Ok(()) } else { Err("REFUND_MISMATCH") });
        }
        let same_currency = charge.amount.is_some_and(|held| held.currency() == amount.currency());
        let refunded = charge.refunded_minor.saturating_add(amount.amount_minor());
        if !same_currency || amount.is_zero() || refunded > charge.captured_minor {
            return Ok(Err("REFUND_EXCEEDS"));
        }
        let sql = format!(
            "INSERT INTO provider_refunds (refund_id, reference, amount_minor, currency, created_at)
             VALUES ($1, $2, $3, $4, {})",
            self.db.now_sql()
        );
        let values: [Value; 4] =
            [refund.into(), reference.as_str().into(), amount.amount_minor().into(), amount.currency().code().into()];
        self.db.execute(&transaction, sql, values).await?;
        self.update(&transaction, reference, "refunded_minor = $2", [refunded]).await?;
        self.enter(&transaction, reference, "refund", Some(refund), amount).await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    async fn refunded(&self, transaction: &DatabaseTransaction, refund: RefundId) -> Result<Option<i64>, DbErr> {
        let sql = "SELECT amount_minor FROM provider_refunds WHERE refund_id = $1";
        let rows = self.db.query(transaction, sql, [refund.into()]).await?;
        rows.first().map(|row| row.try_get("", "amount_minor")).transpose()
    }

    async fn read(
        &self,
        connection: &impl ConnectionTrait,
        reference: &Reference,
        lock: &str,
    ) -> Result<Option<ChargeRow>, DbErr> {
        let sql = format!("SELECT * FROM provider_charges WHERE reference = $1{lock}");
        let rows = self.db.query(connection, sql, [reference.as_str().into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (state, currency): (String, String) = (row.try_get("", "state")?, row.try_get("", "currency")?);
        let amount_minor: i64 = row.try_get("", "amount_minor")?;
        let amount = Currency::parse(&currency).ok().and_then(|currency| Money::new(amount_minor, currency).ok());
        Ok(Some(ChargeRow {
            state: ChargeState::parse(&state)?,
            decline_code: row.try_get("", "decline_code")?,
            amount,
            captured_minor: row.try_get("", "captured_minor")?,
            refunded_minor: row.try_get("", "refunded_minor")?,
        }))
    }

    /// Inserts a charge; false when the reference is known.
    async fn insert(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        charge: &NewCharge<'_>,
    ) -> Result<bool, DbErr> {
        let sql = format!(
            "INSERT INTO provider_charges (reference, token, state, decline_code, amount_minor, currency, captured_minor,
                voided_minor, refunded_minor, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, {now}, {now}) ON CONFLICT (reference) DO NOTHING",
            now = self.db.now_sql()
        );
        let values: [Value; 6] = [
            reference.as_str().into(),
            charge.token.into(),
            charge.state.word().into(),
            charge.decline_code.map(str::to_owned).into(),
            charge.amount.map_or(0, Money::amount_minor).into(),
            charge.amount.map_or("", |amount| amount.currency().code()).into(),
        ];
        Ok(self.db.execute(transaction, sql, values).await? == 1)
    }

    async fn update<const N: usize>(
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

    async fn enter(
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

/// A reference seen for the first time.
struct NewCharge<'a> {
    state: ChargeState,
    decline_code: Option<&'static str>,
    amount: Option<Money>,
    token: &'a str,
}
