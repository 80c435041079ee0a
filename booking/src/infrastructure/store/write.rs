//! Writes a decision: claims, booking row, tickets, refunds, facts and history, all in the caller's transaction.

use chrono::{DateTime, Utc};
use common::db::rows_of_placeholders;
use common::history::{self, Transition};
use common::ids::{BookingId, RefundId, TicketId};
use common::money::Money;
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::{Store, claims, rows};
use crate::domain::booking::{Booking, BookingFact, BookingState, ClaimChange, Decision, TicketChange};
use crate::domain::ticket::TicketClaims;
use crate::infrastructure::wire;

/// First version of every ticket.
const TICKET_VERSION: u32 = 1;

/// Why a decision was not written; nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Claims the booking should own are another's.
    #[error("booking {0} does not own all its claims")]
    ClaimsLost(BookingId),
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
            TicketChange::Void => self.void_tickets(transaction, before).await?,
        }
        self.tell(transaction, &mut next, &facts, because.now).await?;
        if next != *before {
            self.update_row(transaction, &next, because.now).await?;
        }
        self.record(transaction, before, &next, because).await?;
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
        let state = rows::StateColumns::from(&next.state);
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

    async fn record(
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

    /// One ticket per item, signed.
    async fn issue_tickets(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO tickets (id, booking_id, item_id, event_id, version, state, token, created_at) VALUES {}",
            rows_of_placeholders(booking.items.len(), 8, 1)
        );
        let mut values: Vec<Value> = Vec::with_capacity(booking.items.len() * 8);
        for item in &booking.items {
            let claims = TicketClaims {
                ticket_id: TicketId::new(),
                event_id: booking.event_id,
                place: item.seat_id.map(|s| s.0).or(item.area_id.map(|a| a.0)).unwrap_or_default(),
                version: TICKET_VERSION,
                key_id: self.tickets.key_id(),
            };
            values.extend([
                claims.ticket_id.into(),
                booking.id.into(),
                item.id.into(),
                booking.event_id.into(),
                TICKET_VERSION.cast_signed().into(),
                "valid".into(),
                self.tickets.sign(&claims).into(),
                now.timestamp_micros().into(),
            ]);
        }
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    async fn void_tickets(&self, transaction: &DatabaseTransaction, booking: &Booking) -> Result<(), DbErr> {
        let sql = "UPDATE tickets SET state = 'void' WHERE booking_id = $1 AND state = 'valid'";
        let voided = self.db.execute(transaction, sql, [booking.id.into()]).await?;
        if voided == booking.items.len() as u64 {
            return Ok(());
        }
        Err(DbErr::Custom(format!(
            "booking {} has {voided} valid tickets for {} items",
            booking.id,
            booking.items.len()
        )))
    }

    async fn insert_refund(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
        refund: RefundId,
        amount: Money,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let sql = "INSERT INTO booking_refunds (id, booking_id, amount_minor, reason, state, created_at)
            VALUES ($1, $2, $3, $4, 'requested', $5)";
        let values = [
            refund.into(),
            booking.into(),
            amount.amount_minor().into(),
            reason.into(),
            now.timestamp_micros().into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        let sql = "UPDATE booking_items SET refunded_minor = price_minor WHERE booking_id = $1";
        self.db.execute(transaction, sql, [booking.into()]).await?;
        Ok(())
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
