//! Writes a decision: claims, booking row, tickets, refunds, facts and history, all in the caller's transaction.

use chrono::{DateTime, Utc};
use common::db::rows_of_placeholders;
use common::history::{self, Transition};
use common::ids::TicketId;
use common::money::Money;
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::{Store, claims, rows};
use crate::domain::booking::{Booking, BookingFact, BookingState, ClaimChange, Decision, TicketChange};
use crate::domain::ticket::TicketClaims;
use crate::infrastructure::wire;

/// First version of every ticket.
const TICKET_VERSION: u32 = 1;

impl Store {
    /// Writes what a decision wants; nothing at all when it wants nothing.
    pub(super) async fn write(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        decision: Decision,
        cause: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let Decision { mut next, claims, tickets, facts } = decision;
        next.fence = self.change_claims(transaction, before, claims, now).await?;
        match tickets {
            TicketChange::Keep => {}
            TicketChange::Issue => self.issue_tickets(transaction, &next, now).await?,
            TicketChange::Void => self.void_tickets(transaction, before).await?,
        }
        for fact in &facts {
            if let BookingFact::RefundRequested { refund_id, amount, reason } = fact {
                self.insert_refund(transaction, &next, *refund_id, *amount, reason, now).await?;
            }
        }
        if next != *before {
            self.update_row(transaction, &next, now).await?;
        }
        self.tell(transaction, &next, before.state.name(), cause, actor, &facts, now).await
    }

    async fn change_claims(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        change: ClaimChange,
        now: DateTime<Utc>,
    ) -> Result<i64, DbErr> {
        let until = match change {
            ClaimChange::Keep => return Ok(before.fence),
            ClaimChange::GiveBack => {
                claims::give_back(&self.db, transaction, before, owns_all(before, now)).await?;
                return Ok(before.fence);
            }
            ClaimChange::Until(until) => Some(until),
            ClaimChange::Sell => None,
        };
        claims::lock_owned(&self.db, transaction, before).await?;
        let fence = claims::next_fence(&self.db, transaction).await?;
        claims::move_all(&self.db, transaction, before, fence, until).await?;
        Ok(fence)
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
            expires_at = $7, grace_until = $8, claims_held = $9, fence = $10, updated_at = $11, asked_at = $11
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
            now.timestamp_micros().into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Tells facts under the booking's row lock and writes the transition into the history.
    #[expect(clippy::too_many_arguments, reason = "all of them are columns of one history row")]
    async fn tell(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
        from: &'static str,
        cause: &str,
        actor: &str,
        facts: &[BookingFact],
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let told: Vec<_> =
            facts.iter().zip(booking.sequence + 1..).map(|(fact, seq)| wire::fact(booking, fact, seq)).collect();
        if !told.is_empty() {
            self.outbox.append(transaction, &told).await?;
            let sql = "UPDATE bookings SET sequence = sequence + $2 WHERE id = $1";
            let count = i64::try_from(told.len()).unwrap_or(i64::MAX);
            self.db.execute(transaction, sql, [booking.id.into(), count.into()]).await?;
        }
        if from == booking.state.name() {
            return Ok(());
        }
        let transition = Transition {
            entity: "booking",
            entity_id: booking.id.0,
            from,
            to: booking.state.name(),
            cause: cause.to_owned(),
            actor: actor.to_owned(),
            at: now.timestamp_micros(),
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
        booking: &Booking,
        refund: common::ids::RefundId,
        amount: Money,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let sql = "INSERT INTO booking_refunds (id, booking_id, amount_minor, reason, state, created_at)
            VALUES ($1, $2, $3, $4, 'requested', $5)";
        let values = [
            refund.into(),
            booking.id.into(),
            amount.amount_minor().into(),
            reason.into(),
            now.timestamp_micros().into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        let sql = "UPDATE booking_items SET refunded_minor = price_minor WHERE booking_id = $1";
        self.db.execute(transaction, sql, [booking.id.into()]).await?;
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
