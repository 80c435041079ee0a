//! Booking's store, shaped by decisions: load under the row lock, decide purely, write all or nothing.
//!
//! Lock order, everywhere: request id → (event, customer) row → booking → claims by seat id → areas by area id.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use common::db::Db;
use common::failpoint::{self, Step};
use common::ids::{BookingId, EventId};
use common::outbox::Outbox;
use common::requests::{self, Claim, RequestKey};
use moka::future::Cache;
use sea_orm::{DatabaseTransaction, DbErr};

use super::ticket_key::TicketKey;
use crate::domain::booking::{Booking, BookingState, CommandError, Decision, EventCheck, Terms};
use crate::domain::offer::Offer;

mod check_in;
mod claims;
mod events;
mod history;
mod hold;
mod places;
mod read;
mod refunds;
mod report;
mod rows;
mod sweep;
mod taken;
mod tickets;
mod write;

pub use check_in::{Admitted, CheckInError, CheckedIn, Entry};
pub use events::KnownEvent;
pub use history::{HistoryPage, HistoryRow};
pub use hold::{HoldOrder, HoldOutcome};
pub use read::{Availability, Listing, SeatStates};
pub use report::{Sales, SalesReport};
pub use rows::{Refund, RefundState, Stored, Ticket, TicketUse};
pub use sweep::SWEEP_MAX;
pub use write::{Because, WriteError};

/// Seats of all offers kept in memory together: about 150 bytes each.
const CACHED_SEATS_MAX: u64 = 500_000;

/// Reads and writes everything booking owns.
pub struct Store {
    pub(crate) db: Db,
    pub(crate) outbox: Outbox,
    tickets: TicketKey,
    terms: Terms,
    offers: Cache<(EventId, i64), Arc<Offer>>,
}

/// What a command brought about.
#[derive(Debug)]
pub enum Outcome {
    /// Done now.
    Done(Box<Stored>),
    /// Done before under the same request id: the answer given then.
    Replayed(Vec<u8>),
}

/// Why a command wrote nothing.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// No such booking for this caller.
    #[error("no such booking")]
    NotFound,
    /// The request id was used for something else.
    #[error("this request id was used for another request")]
    RequestConflict,
    /// Somebody was let in with one of its tickets.
    #[error("a ticket of this booking was checked in at {} at gate {}", instant(.0.at), .0.gate)]
    AlreadyCheckedIn(TicketUse),
    /// The booking's state forbids it.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The database's fault.
    #[error("the database failed")]
    Db(#[from] DbErr),
}

/// An instant as refusals name it.
pub fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Encodes an answer, to be remembered.
pub type Encode<'a> = &'a (dyn Fn(&Stored) -> Vec<u8> + Sync);

/// A command by a caller.
pub struct Command<'a> {
    /// Which booking.
    pub booking: BookingId,
    /// Remembers the answer.
    pub key: &'a RequestKey,
    /// Who commands, for the history.
    pub actor: &'a str,
    /// Whether it may make a hold count against its customer's limit for longer than the hold lasts.
    pub prolongs: bool,
    /// Whether the caller may act on a customer's booking.
    pub may_act: &'a (dyn Fn(&str) -> bool + Sync),
    /// The answer to remember.
    pub answer: Encode<'a>,
}

impl Store {
    /// A store over a migrated database.
    pub fn new(db: Db, outbox: Outbox, tickets: TicketKey, terms: Terms) -> Self {
        let offers = Cache::builder()
            .max_capacity(CACHED_SEATS_MAX)
            .weigher(|_, offer: &Arc<Offer>| u32::try_from(offer.seats.len() + 1).unwrap_or(u32::MAX))
            .build();
        Self { db, outbox, tickets, terms, offers }
    }

    /// The settings that the rules need.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Runs a caller's command: remembered request, row lock, decision, everything it wants written.
    pub async fn command(
        &self,
        command: Command<'_>,
        decide: impl FnOnce(&Booking, EventCheck, DateTime<Utc>) -> Result<Decision, CommandError> + Send,
    ) -> Result<Outcome, TransitionError> {
        let transaction = self.db.begin().await?;
        match requests::claim(&self.db, &transaction, command.key).await? {
            Claim::New => {}
            Claim::Answered(answer) => return Ok(Outcome::Replayed(answer)),
            Claim::Different => return Err(TransitionError::RequestConflict),
        }
        if command.prolongs {
            self.lock_customer_of(&transaction, command.booking).await?;
        }
        let booking = self.lock(&transaction, command.booking).await?;
        let booking = booking.filter(|found| (command.may_act)(&found.customer_id)).ok_or(TransitionError::NotFound)?;
        let now = self.db.now(&transaction).await?;
        let event = self.event_check(&transaction, booking.event_id).await?;
        let decision = decide(&booking, event, now)?;
        let because = Because { cause: command.key.operation(), actor: command.actor, now };
        self.write(&transaction, &booking, decision, because).await.map_err(|error| refused_late(&booking, error))?;
        let stored = self.stored(&transaction, command.booking).await?.ok_or(TransitionError::NotFound)?;
        requests::answer(&self.db, &transaction, command.key, (command.answer)(&stored)).await?;
        failpoint::around(Step::Command, [command.key.operation()], transaction.commit()).await?;
        self.outbox.wake();
        Ok(Outcome::Done(Box::new(stored)))
    }

    /// Writes the sweeper's or a fact's transition inside `transaction`.
    pub async fn transit(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
        decision: Decision,
        because: Because<'_>,
    ) -> Result<(), WriteError> {
        self.write(transaction, booking, decision, because).await
    }

    /// Locks a booking's row and reads it.
    pub async fn lock(&self, transaction: &DatabaseTransaction, id: BookingId) -> Result<Option<Booking>, DbErr> {
        rows::load(&self.db, transaction, id, self.db.for_update()).await
    }
}

impl Store {
    /// Whether a booking still owns all its claims; locks them.
    pub async fn owns_claims(&self, transaction: &DatabaseTransaction, booking: &Booking) -> Result<bool, DbErr> {
        claims::lock_owned(&self.db, transaction, booking).await
    }

    /// Takes a late booking's seats again, all or nothing, under a new fence; `None` when any is another's.
    pub async fn retake(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>, DbErr> {
        let fence = claims::next_fence(&self.db, transaction).await?;
        let taken = claims::retake(&self.db, transaction, booking, fence, now + self.terms.grace).await?;
        Ok(taken.then_some(fence))
    }
}

/// A hold that lapsed between decision and lock, and lost a claim to somebody waiting for that instant, is over.
fn refused_late(booking: &Booking, error: WriteError) -> TransitionError {
    match error {
        WriteError::ClaimsLost(_) if matches!(booking.state, BookingState::Held { .. }) => {
            CommandError::HoldExpired.into()
        }
        WriteError::ClaimsLost(_) => TransitionError::Db(DbErr::Custom(error.to_string())),
        WriteError::TicketUsed(used) => TransitionError::AlreadyCheckedIn(used),
        WriteError::Db(error) => error.into(),
    }
}
