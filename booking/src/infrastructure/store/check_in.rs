//! Check-in: a valid ticket becomes a used one by compare-and-set, so that of many scans at once exactly one wins.

use common::failpoint::{self, Step};
use common::ids::{BookingId, EventId};
use common::money::Currency;
use sea_orm::DbErr;

use super::rows::{self, Ticket, TicketUse, broken};
use super::{Store, instant};
use crate::domain::booking::Item;
use crate::domain::ticket::TicketClaims;
use crate::infrastructure::ticket_key::{self, TicketPublicKey};

/// A ticket that has just been used.
#[derive(Debug, Clone)]
pub struct CheckedIn {
    /// The ticket.
    pub ticket: Ticket,
    /// What it admits to.
    pub item: Item,
    /// The booking it belongs to.
    pub booking_id: BookingId,
    /// The event it admits to.
    pub event_id: EventId,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub enum CheckInError {
    /// Not signed by us, or not issued.
    #[error("no such ticket")]
    Unknown,
    /// It was voided.
    #[error("the ticket is void")]
    Void,
    /// Somebody came in with it.
    #[error("the ticket was checked in at {} at gate {}", instant(.0.at), .0.gate)]
    AlreadyCheckedIn(TicketUse),
    /// A gate needs a name.
    #[error("a gate has 1 to 64 printable characters")]
    InvalidGate,
    /// The database's fault.
    #[error("the database failed")]
    Db(#[from] DbErr),
}

const TICKET: &str = "
    SELECT t.item_id AS item_id, t.booking_id AS booking_id, t.event_id AS event_id, t.token AS token, t.state AS state,
        t.used_at AS used_at, t.used_gate AS used_gate, i.id AS id, i.seat_id AS seat_id, i.area_id AS area_id,
        i.label AS label, i.price_minor AS price_minor, b.currency AS currency
    FROM tickets t JOIN booking_items i ON i.id = t.item_id JOIN bookings b ON b.id = t.booking_id
    WHERE t.id = $1 AND t.version = $2";

impl Store {
    /// What verifies tickets, oldest key first.
    pub async fn ticket_keys(&self) -> Result<Vec<TicketPublicKey>, DbErr> {
        ticket_key::public_keys(&self.db).await
    }

    /// Uses a ticket whose signature was verified.
    pub async fn check_in(&self, claims: &TicketClaims, gate: &str) -> Result<CheckedIn, CheckInError> {
        let (id, version) = (claims.ticket_id, claims.version.cast_signed());
        let transaction = self.db.begin().await?;
        let take = format!(
            "UPDATE tickets SET used_at = {}, used_gate = $3
             WHERE id = $1 AND version = $2 AND state = 'valid' AND used_at IS NULL",
            self.db.now_sql()
        );
        let won = self.db.execute(&transaction, take, [id.into(), version.into(), gate.into()]).await? == 1;
        let rows = self.db.query(&transaction, TICKET, [id.into(), version.into()]).await?;
        let row = rows.first().ok_or(CheckInError::Unknown)?;
        let ticket = rows::ticket(row, id)?;
        if won {
            let currency: String = row.try_get("", "currency")?;
            let currency = Currency::parse(&currency).map_err(|e| broken("bookings.currency", &e.to_string()))?;
            let (booking_id, event_id) = (row.try_get("", "booking_id")?, row.try_get("", "event_id")?);
            let item = rows::item(row, currency)?;
            failpoint::around(Step::CheckIn, ["check_in"], transaction.commit()).await?;
            return Ok(CheckedIn { ticket, item, booking_id, event_id });
        }
        // A void ticket admits nobody, whether or not it once did.
        match ticket.used {
            Some(used) if !ticket.void => Err(CheckInError::AlreadyCheckedIn(used)),
            Some(_) | None => Err(CheckInError::Void),
        }
    }
}
