//! The simulated provider's ledger: every effect commits once per reference, whoever asks and however often.

use std::time::Duration;

use common::db::Db;
use common::money::Money;
use common::test_token::TestToken;
use sea_orm::{DatabaseTransaction, DbErr};

use crate::application::ports::{Answer, ProviderError};
use crate::domain::{News, Reference};
use callbacks::Callbacks;
pub use callbacks::Telling;

pub mod callbacks;
mod refunds;
mod rows;

/// Code for an authorisation that arrives after its void.
const VOIDED: &str = "VOIDED";
/// Code for a capture that its token makes fail.
const CAPTURE_REFUSED: &str = "CAPTURE_REFUSED";

/// What is decided about a reference seen for the first time.
pub struct Verdict {
    /// Approved, or the code of the decline.
    pub outcome: Result<(), &'static str>,
    /// How long nobody is told.
    pub known_after: Duration,
    /// Whether it is told by callback when it is known.
    pub told: Option<Telling>,
}

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
    /// Whether its authorisation is still being decided.
    pub pending: bool,
    token: Option<TestToken>,
    captured_minor: i64,
    refunded_minor: i64,
    refund_refusals: i64,
}

impl ChargeRow {
    /// What was taken of its money.
    pub fn captured(&self) -> Option<Money> {
        let currency = self.amount?.currency();
        (self.state == ChargeState::Captured).then(|| Money::new(self.captured_minor, currency).ok()).flatten()
    }
}

/// The ledger.
pub struct Ledger {
    db: Db,
    callbacks: Option<Callbacks>,
}

impl Ledger {
    /// In this database; nothing is told by callback.
    pub fn new(db: Db) -> Self {
        Self { db, callbacks: None }
    }

    /// Tells by callback from now on.
    pub fn tell_callbacks(&mut self) -> Callbacks {
        self.callbacks.get_or_insert_with(|| Callbacks::new(self.db.clone())).clone()
    }

    /// What is known about a reference.
    pub async fn charge(&self, reference: &Reference) -> Result<Option<ChargeRow>, DbErr> {
        self.read(self.db.reader(), reference, "").await
    }

    /// Records a verdict, unless the reference is known already; what then stands is returned.
    pub async fn authorise(
        &self,
        reference: &Reference,
        amount: Money,
        token: &str,
        verdict: &Verdict,
    ) -> Result<ChargeRow, DbErr> {
        let (state, kind) = match verdict.outcome {
            Ok(()) => (ChargeState::Approved, "authorise"),
            Err(_) => (ChargeState::Declined, "decline"),
        };
        let transaction = self.db.begin().await?;
        let (decline_code, known_after) = (verdict.outcome.err(), verdict.known_after);
        let charge = NewCharge { state, decline_code, amount: Some(amount), token, known_after };
        if self.insert(&transaction, reference, &charge).await? {
            self.enter(&transaction, reference, kind, None, amount).await?;
            self.tell_verdict(&transaction, reference, amount, verdict).await?;
        }
        let charge = self.read(&transaction, reference, "").await?;
        transaction.commit().await?;
        self.told();
        charge.ok_or_else(|| DbErr::RecordNotFound(format!("charge {reference}")))
    }

    /// Takes the held money; what is not taken is let go.
    pub async fn capture(&self, reference: &Reference, amount: Money) -> Result<Answer, ProviderError> {
        let transaction = self.db.begin().await?;
        let Some(charge) = self.read(&transaction, reference, self.db.for_update()).await? else {
            return Ok(refused("NOT_AUTHORISED"));
        };
        let fails = charge.token == Some(TestToken::CaptureFails);
        match charge.state {
            ChargeState::Captured => return as_asked(charge.captured(), amount),
            ChargeState::Voided if fails => return Ok(refused(CAPTURE_REFUSED)),
            ChargeState::Declined | ChargeState::Voided => return Ok(refused("NOT_AUTHORISED")),
            ChargeState::Approved if charge.pending => return Ok(Answer::Pending),
            ChargeState::Approved => {}
        }
        let held = charge.amount.unwrap_or(Money::zero(amount.currency()));
        let Ok(rest) = held.checked_sub(amount) else { return Err(ProviderError::Mismatch { said: held }) };
        let answer = if fails {
            self.let_go(&transaction, reference, held).await?;
            let news = News::CaptureFailed { code: CAPTURE_REFUSED.to_owned() };
            self.tell(&transaction, reference, &news, Telling::SOON).await?;
            refused(CAPTURE_REFUSED)
        } else {
            let sql = "captured_minor = $2, voided_minor = $3, state = 'captured'";
            self.update(&transaction, reference, sql, [amount.amount_minor(), rest.amount_minor()]).await?;
            self.enter(&transaction, reference, "capture", None, amount).await?;
            self.tell(&transaction, reference, &News::Captured { amount }, Telling::SOON).await?;
            Answer::Done
        };
        transaction.commit().await?;
        self.told();
        Ok(answer)
    }

    /// Lets held money go, and sees to it that a reference never seen will never be held.
    pub async fn void(&self, reference: &Reference) -> Result<Answer, ProviderError> {
        let transaction = self.db.begin().await?;
        let never = NewCharge {
            state: ChargeState::Voided,
            decline_code: Some(VOIDED),
            amount: None,
            token: "",
            known_after: Duration::ZERO,
        };
        if self.insert(&transaction, reference, &never).await? {
            transaction.commit().await?;
            return Ok(Answer::Done);
        }
        let Some(charge) = self.read(&transaction, reference, self.db.for_update()).await? else {
            return Err(DbErr::RecordNotFound(format!("charge {reference}")).into());
        };
        match (charge.state, charge.amount) {
            (ChargeState::Captured, _) => return Ok(refused("ALREADY_CAPTURED")),
            (ChargeState::Declined | ChargeState::Voided, _) | (ChargeState::Approved, None) => {
                return Ok(Answer::Done);
            }
            (ChargeState::Approved, Some(held)) => {
                self.let_go(&transaction, reference, held).await?;
                if charge.pending {
                    self.update(&transaction, reference, "decline_code = 'VOIDED', known_at = 0", []).await?;
                    self.untell(&transaction, reference).await?;
                }
                self.tell(&transaction, reference, &News::Voided, Telling::SOON).await?;
            }
        }
        transaction.commit().await?;
        self.told();
        Ok(Answer::Done)
    }

    async fn let_go(&self, transaction: &DatabaseTransaction, reference: &Reference, held: Money) -> Result<(), DbErr> {
        let sql = "captured_minor = 0, voided_minor = $2, state = 'voided'";
        self.update(transaction, reference, sql, [held.amount_minor()]).await?;
        self.enter(transaction, reference, "void", None, held).await
    }
}

/// A reference seen for the first time.
struct NewCharge<'a> {
    state: ChargeState,
    decline_code: Option<&'static str>,
    amount: Option<Money>,
    token: &'a str,
    known_after: Duration,
}

/// What was done before, if it is what is asked for now.
fn as_asked(done: Option<Money>, asked: Money) -> Result<Answer, ProviderError> {
    match done {
        Some(said) if said != asked => Err(ProviderError::Mismatch { said }),
        Some(_) | None => Ok(Answer::Done),
    }
}

fn refused(code: &str) -> Answer {
    Answer::Refused { code: code.to_owned() }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
