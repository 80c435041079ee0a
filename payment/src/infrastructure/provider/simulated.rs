//! The simulated provider: every outcome on demand from a test token, over a durable ledger of its own.
//!
//! Like a real one it answers a repeated reference with the first outcome, remembers a void of a reference it never saw,
//! and may decide something that its caller never hears.

use std::time::Duration;

use async_trait::async_trait;
use common::db::Db;
use common::ids::RefundId;
use common::money::Money;
use common::schema;
use common::test_token::TestToken;
use sea_orm::DbErr;

use crate::application::ports::{Answer, Authorisation, Charge, Provider, ProviderError};
use crate::domain::Reference;
pub use ledger::callbacks::{Callbacks, Delivery};
use ledger::{ChargeRow, ChargeState, Ledger, Telling, Verdict};

mod ledger;
pub(crate) mod migrations;

/// How long `tok_slow` takes to approve.
const SLOW: Duration = Duration::from_secs(3);
/// How long a call hangs whose answer never arrives: far beyond anybody's patience.
const HANG: Duration = Duration::from_secs(600);
/// How long `tok_callback_first` takes to answer after it has told.
const CALLBACK_LEAD: Duration = Duration::from_secs(3);
/// How often `tok_duplicate_callback` tells.
const DUPLICATES: u32 = 5;
/// Connections to its ledger, where that is PostgreSQL.
const CONNECTIONS: u32 = 10;

/// A provider that moves no real money.
pub struct SimulatedProvider {
    ledger: Ledger,
}

impl SimulatedProvider {
    /// Opens the provider's ledger, and creates it when it is new.
    ///
    /// # Errors
    /// The database cannot be opened or migrated.
    pub async fn open(database_url: &str) -> Result<Self, DbErr> {
        Self::over(Db::connect(database_url, CONNECTIONS).await?).await
    }

    /// Keeps the ledger in an open database, whose clock is the provider's own.
    ///
    /// # Errors
    /// The database cannot be migrated.
    pub async fn over(db: Db) -> Result<Self, DbErr> {
        schema::migrate::<migrations::Migrator>(&db).await?;
        Ok(Self::new(db))
    }

    /// Keeps the ledger in a database that has its tables.
    pub fn new(db: Db) -> Self {
        Self { ledger: Ledger::new(db) }
    }

    /// Notes from now on what is to be told by callback; whoever delivers it takes it from what is returned.
    #[must_use]
    pub fn telling(mut self) -> (Self, Callbacks) {
        let callbacks = self.ledger.tell_callbacks();
        (self, callbacks)
    }
}

/// What a token makes of an authorisation. Captures and refunds read the token of their charge in the ledger.
struct Script {
    before: Duration,
    verdict: Verdict,
    after: Duration,
}

impl Script {
    fn of(token: &str) -> Self {
        let now = |outcome| Self {
            before: Duration::ZERO,
            verdict: Verdict { outcome, known_after: Duration::ZERO, told: Some(Telling::SOON) },
            after: Duration::ZERO,
        };
        // What never arrives is not told by callback either.
        let lost = |outcome| Self {
            verdict: Verdict { outcome, known_after: Duration::ZERO, told: None },
            after: HANG,
            ..now(outcome)
        };
        let told = |telling| Verdict { outcome: Ok(()), known_after: Duration::ZERO, told: Some(telling) };
        match TestToken::parse(token) {
            Some(
                TestToken::Approve
                | TestToken::CaptureFails
                | TestToken::RefundFails { .. }
                | TestToken::RefundPendingThenFailed,
            ) => now(Ok(())),
            Some(TestToken::Decline) => now(Err("CARD_DECLINED")),
            Some(TestToken::InsufficientFunds) => now(Err("INSUFFICIENT_FUNDS")),
            Some(TestToken::Slow) => Self { before: SLOW, ..now(Ok(())) },
            Some(TestToken::TimeoutThenApproved) => lost(Ok(())),
            Some(TestToken::TimeoutThenDeclined) => lost(Err("CARD_DECLINED")),
            Some(TestToken::DuplicateCallback) => {
                Self { verdict: told(Telling { times: DUPLICATES, ..Telling::AT_ONCE }), ..now(Ok(())) }
            }
            Some(TestToken::CallbackFirst) => {
                Self { verdict: told(Telling::AT_ONCE), after: CALLBACK_LEAD, ..now(Ok(())) }
            }
            Some(TestToken::ApproveAfter { seconds }) => {
                let known_after = Duration::from_secs(seconds.into());
                Self { verdict: Verdict { known_after, ..told(Telling::AT_ONCE) }, ..now(Ok(())) }
            }
            None => now(Err("INVALID_TOKEN")),
        }
    }
}

#[async_trait]
impl Provider for SimulatedProvider {
    async fn authorise(&self, reference: &Reference, amount: Money, token: &str) -> Result<Answer, ProviderError> {
        if let Some(known) = self.ledger.charge(reference).await? {
            return known_answer(&known, amount);
        }
        let script = Script::of(token);
        tokio::time::sleep(script.before).await;
        let charge = self.ledger.authorise(reference, amount, token, &script.verdict).await?;
        tokio::time::sleep(script.after).await;
        known_answer(&charge, amount)
    }

    async fn capture(&self, reference: &Reference, amount: Money) -> Result<Answer, ProviderError> {
        self.ledger.capture(reference, amount).await
    }

    async fn void(&self, reference: &Reference) -> Result<Answer, ProviderError> {
        self.ledger.void(reference).await
    }

    async fn refund(&self, reference: &Reference, refund: RefundId, amount: Money) -> Result<Answer, ProviderError> {
        self.ledger.refund(reference, refund, amount).await
    }

    async fn status(&self, reference: &Reference) -> Result<Option<Charge>, ProviderError> {
        let Some(charge) = self.ledger.charge(reference).await? else {
            return Ok(None);
        };
        let refunds = self.ledger.refunds(reference).await?;
        Ok(Some(Charge {
            captured: charge.captured(),
            voided: charge.state == ChargeState::Voided,
            authorisation: authorisation(charge),
            refunds,
        }))
    }
}

fn authorisation(charge: ChargeRow) -> Authorisation {
    match (charge.decline_code, charge.amount) {
        (Some(code), _) => Authorisation::Declined { code },
        (None, Some(amount)) if !charge.pending => Authorisation::Approved { amount },
        (None, Some(_) | None) => Authorisation::Pending,
    }
}

/// The first outcome again; the same reference for another amount is a mistake of the caller's, who must not be told that
/// there is no money.
fn known_answer(charge: &ChargeRow, amount: Money) -> Result<Answer, ProviderError> {
    match (&charge.decline_code, charge.amount) {
        (Some(code), _) => Ok(Answer::Refused { code: code.clone() }),
        (None, Some(held)) if held != amount => Err(ProviderError::Mismatch { said: held }),
        (None, Some(_) | None) if charge.pending => Ok(Answer::Pending),
        (None, Some(_) | None) => Ok(Answer::Done),
    }
}

impl From<DbErr> for ProviderError {
    fn from(error: DbErr) -> Self {
        Self::Unreachable(error.to_string())
    }
}
