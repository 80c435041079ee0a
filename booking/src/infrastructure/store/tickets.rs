//! Tickets: one per item, signed when a booking is confirmed, void when it is called off.

use chrono::{DateTime, Utc};
use common::db::{placeholders, rows_of_placeholders};
use common::ids::{BookingId, ItemId, TicketId};
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::rows::{self, TicketUse};
use super::{Store, WriteError};
use crate::domain::booking::Booking;
use crate::domain::ticket::TicketClaims;

/// First version of every ticket.
const TICKET_VERSION: u32 = 1;

impl Store {
    /// One ticket per item, signed.
    pub(super) async fn issue_tickets(
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

    /// Voids the tickets of these items, used ones too; returns the items whose tickets had been used.
    pub(super) async fn void_all(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
        items: &[ItemId],
    ) -> Result<Vec<ItemId>, WriteError> {
        let voided = self.void(transaction, items, "").await?;
        all_voided(booking, voided.len(), items)?;
        Ok(voided.into_iter().filter(|(_, used)| *used).map(|(item, _)| item).collect())
    }

    /// Voids the tickets of these items unless one was used. A check-in at the same moment comes wholly before or after:
    /// whichever waits for the row sees what the other made of it.
    pub(super) async fn void_unused(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
        items: &[ItemId],
    ) -> Result<(), WriteError> {
        let voided = self.void(transaction, items, " AND used_at IS NULL").await?;
        match self.first_use(transaction, items).await? {
            Some(used) => Err(WriteError::TicketUsed(used)),
            None => all_voided(booking, voided.len(), items),
        }
    }

    /// Items whose tickets were valid until now, and whether they had been used.
    async fn void(
        &self,
        transaction: &DatabaseTransaction,
        items: &[ItemId],
        only: &str,
    ) -> Result<Vec<(ItemId, bool)>, DbErr> {
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!(
            "UPDATE tickets SET state = 'void' WHERE item_id IN ({}) AND state = 'valid'{only}
             RETURNING item_id, used_at, used_gate",
            placeholders(items.len(), 1)
        );
        let rows = self.db.query(transaction, sql, values_of(items)).await?;
        rows.iter().map(|row| Ok((row.try_get("", "item_id")?, rows::ticket_use(row)?.is_some()))).collect()
    }

    async fn first_use(&self, transaction: &DatabaseTransaction, items: &[ItemId]) -> Result<Option<TicketUse>, DbErr> {
        if items.is_empty() {
            return Ok(None);
        }
        let sql = format!(
            "SELECT used_at, used_gate FROM tickets WHERE item_id IN ({}) AND used_at IS NOT NULL
             ORDER BY used_at LIMIT 1",
            placeholders(items.len(), 1)
        );
        let rows = self.db.query(transaction, sql, values_of(items)).await?;
        rows.first().map_or(Ok(None), rows::ticket_use)
    }
}

fn values_of(items: &[ItemId]) -> Vec<Value> {
    items.iter().map(|item| (*item).into()).collect()
}

fn all_voided(booking: BookingId, voided: usize, items: &[ItemId]) -> Result<(), WriteError> {
    let items = items.len();
    if voided == items {
        return Ok(());
    }
    Err(DbErr::Custom(format!("booking {booking} has {voided} valid tickets for {items} items")).into())
}
