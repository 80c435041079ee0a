//! Writes a decision: claims, booking row, tickets, refunds, facts and history, all in the caller's transaction.

use chrono::{DateTime, Utc};
use common::history::{self, Transition};
use common::ids::BookingId;
use sea_orm::{DatabaseTransaction, DbErr};

use super::rows::TicketUse;
use super::{Store, claims};
use crate::domain::booking::{Booking, BookingFact, BookingState, ClaimChange, Decision, TicketChange};
use crate::infrastructure::wire;

/// Why a decision was not written; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Claims the booking should own are another's.
    #[error("booking {0} does not own all its claims")]
    ClaimsLost(BookingId),
    /// A ticket that should be void for its customer was used.
    #[error("a ticket was checked in at {}", .0.at)]
    TicketUsed(TicketUse),
    /// The database's fault.
    #[error("the database failed")]
    Db(#[from] DbErr),
}

/// Why a decision was made, for the history.
#[derive(Clone, Copy)]
pub(super) struct Because<'a> {
    /// A stable word.
    pub cause: &'a str,
    /// Who acts.
    pub actor: &'a str,
    /// When, by the database's clock.
    pub now: DateTime<Utc>,
}

impl Store {
    /// Writes what a decision wants; nothing at all when it wants nothing.
    pub(super) async fn write(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        decision: Decision,
        because: Because<'_>,
    ) -> Result<(), WriteError> {
        let Decision { mut next, claims, tickets, facts } = decision;
        next.fence = self.change_claims(transaction, before, claims, because.now).await?;
        match tickets {
            TicketChange::Keep => {}
            TicketChange::Issue => self.issue_tickets(transaction, &next, because.now).await?,
            TicketChange::VoidUnused => self.void_unused_tickets(transaction, before).await?,
            TicketChange::Void => self.void_tickets(transaction, before).await?,
        }
        self.tell(transaction, &mut next, &facts, because.now).await?;
        if next != *before {
            self.update_row(transaction, &next, because.now).await?;
        }
        self.note_transition(transaction, before, &next, because).await?;
        Ok(())
    }

    /// Returns the fence the booking's claims have afterwards.
    async fn change_claims(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        change: ClaimChange,
        now: DateTime<Utc>,
    ) -> Result<i64, WriteError> {
        match change {
            ClaimChange::Keep => Ok(before.fence),
            ClaimChange::GiveBack => {
                claims::give_back(&self.db, transaction, before, owns_all(before, now)).await?;
                Ok(before.fence)
            }
            ClaimChange::Until(until) => claims::move_all(&self.db, transaction, before, Some(until)).await,
            ClaimChange::Sell => claims::move_all(&self.db, transaction, before, None).await,
        }
    }

    async fn update_row(
        &self,
        transaction: &DatabaseTransaction,
        next: &Booking,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let state = StateColumns::from(&next.state);
        let sql =
            "UPDATE bookings SET state = $2, attempts = $3, sold_attempt = $4, decline_code = $5, cancel_cause = $6,
            expires_at = $7, grace_until = $8, claims_held = $9, fence = $10, sequence = $11, updated_at = $12, asked_at = $12
            WHERE id = $1";
        let values = [
            next.id.into(),
            state.state.into(),
            next.attempts.cast_signed().into(),
            state.sold_attempt.into(),
            next.decline_code.clone().into(),
            state.cancel_cause.into(),
            state.expires_at.into(),
            state.grace_until.into(),
            state.claims_held.into(),
            next.fence.into(),
            next.sequence.into(),
            now.timestamp_micros().into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Tells facts in order, under the booking's row lock that makes its sequence grow without gaps.
    async fn tell(
        &self,
        transaction: &DatabaseTransaction,
        booking: &mut Booking,
        facts: &[BookingFact],
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let mut told = Vec::with_capacity(facts.len());
        for fact in facts {
            if let BookingFact::RefundRequested { refund_id, amount, reason } = fact {
                self.insert_refund(transaction, booking.id, *refund_id, *amount, reason, now).await?;
            }
            booking.sequence += 1;
            told.push(wire::fact(booking, fact, booking.sequence));
        }
        self.outbox.append(transaction, &told).await
    }

    async fn note_transition(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        next: &Booking,
        because: Because<'_>,
    ) -> Result<(), DbErr> {
        let (from, to) = (before.state.name(), next.state.name());
        if from == to {
            return Ok(());
        }
        let transition = Transition {
            entity: "booking",
            entity_id: next.id.0,
            from,
            to,
            cause: because.cause.to_owned(),
            actor: because.actor.to_owned(),
            at: because.now.timestamp_micros(),
        };
        history::write(&self.db, transaction, &[transition]).await
    }
}

/// Whether a booking must still own all its claims: a lapsed one may have lost some to others.
fn owns_all(booking: &Booking, now: DateTime<Utc>) -> bool {
    match booking.state {
        BookingState::Held { expires_at } => expires_at > now,
        BookingState::Paying { grace_until, claims_held, .. } => claims_held && grace_until > now,
        BookingState::Confirmed { .. } => true,
        BookingState::Cancelled { .. } | BookingState::Expired | BookingState::Released => false,
    }
}

/// The columns of a state, for writing.
struct StateColumns {
    state: &'static str,
    sold_attempt: Option<i32>,
    cancel_cause: Option<&'static str>,
    expires_at: Option<i64>,
    grace_until: Option<i64>,
    claims_held: bool,
}

impl From<&BookingState> for StateColumns {
    fn from(state: &BookingState) -> Self {
        let ended = Self {
            state: state.name(),
            sold_attempt: None,
            cancel_cause: None,
            expires_at: None,
            grace_until: None,
            claims_held: false,
        };
        match state {
            BookingState::Held { expires_at } => {
                Self { expires_at: Some(expires_at.timestamp_micros()), claims_held: true, ..ended }
            }
            BookingState::Paying { expires_at, grace_until, claims_held, .. } => Self {
                expires_at: Some(expires_at.timestamp_micros()),
                grace_until: Some(grace_until.timestamp_micros()),
                claims_held: *claims_held,
                ..ended
            },
            BookingState::Confirmed { attempt } => {
                Self { sold_attempt: Some(attempt.cast_signed()), claims_held: true, ..ended }
            }
            BookingState::Cancelled { cause, sold } => {
                Self { cancel_cause: Some(cause.name()), sold_attempt: sold.map(u32::cast_signed), ..ended }
            }
            BookingState::Expired | BookingState::Released => ended,
        }
    }
}
