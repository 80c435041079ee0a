//! Check-in: a valid ticket becomes a used one by compare-and-set, so that of many scans at once exactly one wins.

use common::failpoint::{self, Step};
use common::ids::{BookingId, EventId};
use common::money::Currency;
use common::requests::{self, Claim, RequestKey};
use sea_orm::{DatabaseTransaction, DbErr, QueryResult};

use super::history::Line;
use super::rows::{self, Ticket, TicketUse, broken};
use super::write::Because;
use super::{Store, instant};
use crate::domain::booking::Item;
use crate::domain::ticket::TicketClaims;
use crate::infrastructure::ticket_key::{self, TicketPublicKey};

/// Why, in histories.
const CAUSE: &str = "check_in";
/// The state of every booking with a valid ticket.
const CONFIRMED: &str = "CONFIRMED";

/// Where and by whom a ticket is used.
pub struct Entry<'a> {
    /// The gate.
    pub gate: &'a str,
    /// Who scans, for the history.
    pub actor: &'a str,
    /// Remembers the answer, if one is to be remembered.
    pub key: Option<&'a RequestKey>,
    /// The answer to remember.
    pub answer: &'a (dyn Fn(&CheckedIn) -> Vec<u8> + Sync),
}

/// Somebody who may come in.
#[derive(Debug)]
pub enum Admitted {
    /// By this call.
    Now(Box<CheckedIn>),
    /// By a call before with the same request id: the answer given then.
    Before(Vec<u8>),
}

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
    /// The request id was used for something else.
    #[error("this request id was used for another request")]
    RequestConflict,
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
        i.label AS label, i.price_minor AS price_minor, i.refunded_minor AS refunded_minor,
        i.cancelled_at AS cancelled_at, b.currency AS currency
    FROM tickets t JOIN booking_items i ON i.id = t.item_id JOIN bookings b ON b.id = t.booking_id
    WHERE t.id = $1 AND t.version = $2";

impl Store {
    /// What verifies tickets, oldest key first.
    pub async fn ticket_keys(&self) -> Result<Vec<TicketPublicKey>, DbErr> {
        ticket_key::public_keys(&self.db).await
    }

    /// Uses a ticket whose signature was verified.
    pub async fn check_in(&self, claims: &TicketClaims, entry: Entry<'_>) -> Result<Admitted, CheckInError> {
        let transaction = self.db.begin().await?;
        if let Some(key) = entry.key {
            match requests::claim(&self.db, &transaction, key).await? {
                Claim::New => {}
                Claim::Answered(answer) => return Ok(Admitted::Before(answer)),
                Claim::Different => return Err(CheckInError::RequestConflict),
            }
        }
        let used = self.use_ticket(&transaction, claims, &entry).await?;
        if let Some(key) = entry.key {
            requests::answer(&self.db, &transaction, key, (entry.answer)(&used)).await?;
        }
        failpoint::around(Step::CheckIn, ["check_in"], transaction.commit()).await?;
        Ok(Admitted::Now(Box::new(used)))
    }

    async fn use_ticket(
        &self,
        transaction: &DatabaseTransaction,
        claims: &TicketClaims,
        entry: &Entry<'_>,
    ) -> Result<CheckedIn, CheckInError> {
        let (id, version) = (claims.ticket_id, claims.version.cast_signed());
        let take = format!(
            "UPDATE tickets SET used_at = {}, used_gate = $3
             WHERE id = $1 AND version = $2 AND state = 'valid' AND used_at IS NULL",
            self.db.now_sql()
        );
        let won = self.db.execute(transaction, take, [id.into(), version.into(), entry.gate.into()]).await? == 1;
        let rows = self.db.query(transaction, TICKET, [id.into(), version.into()]).await?;
        let row = rows.first().ok_or(CheckInError::Unknown)?;
        let ticket = rows::ticket(row, id)?;
        match &ticket.used {
            Some(used) if won => {
                let because = Because { cause: CAUSE, actor: entry.actor, now: used.at };
                let used = checked_in(row, ticket.clone())?;
                self.write_lines(transaction, &[line(&used, entry.gate)], because).await?;
                Ok(used)
            }
            // A void ticket admits nobody, whether or not it once did.
            Some(used) if !ticket.void => Err(CheckInError::AlreadyCheckedIn(used.clone())),
            Some(_) | None => Err(CheckInError::Void),
        }
    }
}

fn checked_in(row: &QueryResult, ticket: Ticket) -> Result<CheckedIn, DbErr> {
    let currency: String = row.try_get("", "currency")?;
    let currency = Currency::parse(&currency).map_err(|e| broken("bookings.currency", &e.to_string()))?;
    let (booking_id, event_id) = (row.try_get("", "booking_id")?, row.try_get("", "event_id")?);
    Ok(CheckedIn { ticket, item: rows::item(row, currency)?, booking_id, event_id })
}

/// A ticket is valid only while its booking is confirmed, and checking in leaves it so.
fn line(used: &CheckedIn, gate: &str) -> Line {
    let detail = format!("gate {gate}");
    Line { booking_id: used.booking_id, from: CONFIRMED, to: CONFIRMED, item_id: Some(used.item.id), detail }
}
