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
use ledger::{ChargeRow, ChargeState, Ledger, Verdict};

mod ledger;
pub(crate) mod migrations;

/// How long `tok_slow` takes to approve.
const SLOW: Duration = Duration::from_secs(3);
/// How long a call hangs whose answer never arrives: far beyond anybody's patience.
const HANG: Duration = Duration::from_secs(600);
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
            verdict: Verdict { outcome, known_after: Duration::ZERO },
            after: Duration::ZERO,
        };
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
            Some(TestToken::TimeoutThenApproved) => Self { after: HANG, ..now(Ok(())) },
            Some(TestToken::TimeoutThenDeclined) => Self { after: HANG, ..now(Err("CARD_DECLINED")) },
            Some(TestToken::ApproveAfter { seconds }) => {
                let known_after = Duration::from_secs(seconds.into());
                Self { verdict: Verdict { outcome: Ok(()), known_after }, ..now(Ok(())) }
            }
            None => now(Err("INVALID_TOKEN")),
        }
    }
}

#[async_trait]
impl Provider for SimulatedProvider {
    async fn authorise(&self, reference: &Reference, amount: Money, token: &str) -> Result<Answer, ProviderError> {
        if let Some(known) = self.ledger.charge(reference).await.map_err(unreachable)? {
            return Ok(known_answer(&known, amount));
        }
        let script = Script::of(token);
        tokio::time::sleep(script.before).await;
        let charge = self.ledger.authorise(reference, amount, token, &script.verdict).await.map_err(unreachable)?;
        tokio::time::sleep(script.after).await;
        Ok(known_answer(&charge, amount))
    }

    async fn capture(&self, reference: &Reference, amount: Money) -> Result<Answer, ProviderError> {
        self.ledger.capture(reference, amount).await.map_err(unreachable)
    }

    async fn void(&self, reference: &Reference) -> Result<Answer, ProviderError> {
        self.ledger.void(reference).await.map_err(unreachable)
    }

    async fn refund(&self, reference: &Reference, refund: RefundId, amount: Money) -> Result<Answer, ProviderError> {
        self.ledger.refund(reference, refund, amount).await.map_err(unreachable)
    }

    async fn status(&self, reference: &Reference) -> Result<Option<Charge>, ProviderError> {
        let Some(charge) = self.ledger.charge(reference).await.map_err(unreachable)? else {
            return Ok(None);
        };
        let refunds = self.ledger.refunds(reference).await.map_err(unreachable)?;
        Ok(Some(Charge {
            authorisation: match charge.decline_code {
                Some(code) => Authorisation::Declined { code },
                None if charge.pending => Authorisation::Pending,
                None => Authorisation::Approved,
            },
            captured: charge.state == ChargeState::Captured,
            voided: charge.state == ChargeState::Voided,
            refunds,
        }))
    }
}

/// The first outcome again; the same reference for another amount is a mistake of the caller's.
fn known_answer(charge: &ChargeRow, amount: Money) -> Answer {
    match &charge.decline_code {
        Some(code) => Answer::Refused { code: code.clone() },
        None if charge.amount == Some(amount) && charge.pending => Answer::Pending,
        None if charge.amount == Some(amount) => Answer::Done,
        None => Answer::Refused { code: "REFERENCE_MISMATCH".to_owned() },
    }
}

fn unreachable(error: DbErr) -> ProviderError {
    ProviderError::Unreachable(error.to_string())
}
