//! Writes a decision: claims, booking row, tickets, refunds, facts and history, all in the caller's transaction.

use chrono::{DateTime, Utc};
use common::ids::{BookingId, ItemId};
use sea_orm::{DatabaseTransaction, DbErr};

use super::rows::TicketUse;
use super::{Store, claims};
use crate::domain::booking::{Booking, BookingFact, BookingState, ClaimChange, Decision, Item, TicketChange};
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
pub struct Because<'a> {
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
        // Before the claims: a gate that is faster keeps its seat from being sold again.
        let used = self.void_tickets(transaction, before, &next, tickets).await?;
        let freed = freed(before, &next, &used);
        next.fence = self.change_claims(transaction, before, claims, &freed, because.now).await?;
        if tickets == TicketChange::Issue {
            self.issue_tickets(transaction, &next, because.now).await?;
        }
        self.tell(transaction, &mut next, &facts, because.now).await?;
        if next != *before {
            self.update_items(transaction, before, &next).await?;
            self.update_row(transaction, before, &next, because.now).await?;
        }
        self.note(transaction, before, &next, because).await?;
        Ok(())
    }

    /// Voids the tickets of the items given up; returns the items whose tickets had been used.
    async fn void_tickets(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        next: &Booking,
        change: TicketChange,
    ) -> Result<Vec<ItemId>, WriteError> {
        let given_up: Vec<ItemId> = before.items_given_up(next).map(|item| item.id).collect();
        match change {
            TicketChange::Keep | TicketChange::Issue => Ok(Vec::new()),
            TicketChange::VoidUnused => {
                self.void_unused(transaction, before.id, &given_up).await?;
                Ok(Vec::new())
            }
            TicketChange::Void => self.void_all(transaction, before.id, &given_up).await,
        }
    }

    /// Returns the fence the booking's claims have afterwards.
    async fn change_claims(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        change: ClaimChange,
        freed: &[&Item],
        now: DateTime<Utc>,
    ) -> Result<i64, WriteError> {
        match change {
            ClaimChange::Keep => Ok(before.fence),
            ClaimChange::GiveBack => {
                claims::give_back(&self.db, transaction, before, freed, owns_all(before, now)).await?;
                Ok(before.fence)
            }
            ClaimChange::Until(until) => claims::move_all(&self.db, transaction, before, Some(until)).await,
            ClaimChange::Sell => claims::move_all(&self.db, transaction, before, None).await,
        }
    }

    async fn update_row(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        next: &Booking,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let state = StateColumns::from(&next.state);
        // A booking that ends keeps the count it had.
        let live = next.live_items().count();
        let places = if live == 0 { before.live_items().count() } else { live };
        let sql =
            "UPDATE bookings SET state = $2, attempts = $3, sold_attempt = $4, decline_code = $5, cancel_cause = $6,
            expires_at = $7, grace_until = $8, claims_held = $9, fence = $10, sequence = $11, updated_at = $12, asked_at = $12,
            kept_at = $13, places = CASE WHEN $14 > 0 THEN $14 ELSE places END WHERE id = $1";
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
            next.kept_at().map(|at| at.timestamp_micros()).into(),
            i32::try_from(places).unwrap_or(i32::MAX).into(),
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
}

/// What goes back on sale: of a sold booking the items it gives up, except used ones; of any other all it holds.
fn freed<'a>(before: &'a Booking, next: &'a Booking, used: &[ItemId]) -> Vec<&'a Item> {
    match before.state {
        BookingState::Confirmed { .. } => before.items_given_up(next).filter(|item| !used.contains(&item.id)).collect(),
        BookingState::Held { .. }
        | BookingState::Paying { .. }
        | BookingState::Cancelled { .. }
        | BookingState::Expired
        | BookingState::Released => before.live_items().collect(),
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
