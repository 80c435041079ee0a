//! Tickets: one per item, signed when a booking is confirmed, void when it is called off.

use chrono::{DateTime, Utc};
use common::db::rows_of_placeholders;
use common::ids::TicketId;
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

    /// Voids all tickets of a booking, used ones too.
    pub(super) async fn void_tickets(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE tickets SET state = 'void' WHERE booking_id = $1 AND state = 'valid'";
        self.all_voided(booking, self.db.execute(transaction, sql, [booking.id.into()]).await?)
    }

    /// Voids all tickets of a booking unless one was used. A check-in at the same moment comes wholly before or after: whichever
    /// waits for the row sees what the other made of it.
    pub(super) async fn void_unused_tickets(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
    ) -> Result<(), WriteError> {
        let sql = "UPDATE tickets SET state = 'void' WHERE booking_id = $1 AND state = 'valid' AND used_at IS NULL";
        let voided = self.db.execute(transaction, sql, [booking.id.into()]).await?;
        match self.first_use(transaction, booking).await? {
            Some(used) => Err(WriteError::TicketUsed(used)),
            None => self.all_voided(booking, voided),
        }
    }

    async fn first_use(
        &self,
        transaction: &DatabaseTransaction,
        booking: &Booking,
    ) -> Result<Option<TicketUse>, DbErr> {
        let sql = "SELECT used_at, used_gate FROM tickets WHERE booking_id = $1 AND used_at IS NOT NULL
            ORDER BY used_at LIMIT 1";
        let rows = self.db.query(transaction, sql, [booking.id.into()]).await?;
        rows.first().map_or(Ok(None), rows::ticket_use)
    }

    fn all_voided(&self, booking: &Booking, voided: u64) -> Result<(), WriteError> {
        let (id, items) = (booking.id, booking.items.len());
        if voided == items as u64 {
            return Ok(());
        }
        Err(DbErr::Custom(format!("booking {id} has {voided} valid tickets for {items} items")).into())
    }
}
