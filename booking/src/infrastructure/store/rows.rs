//! Booking rows to the domain and back.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::db::{Db, placeholders, rows_of_placeholders};
use common::ids::{BookingId, ItemId, RefundId, TicketId};
use common::money::{Currency, Money};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Value};

use super::Store;
use crate::domain::booking::{Booking, BookingState, CancelCause, Item};

/// A booking with what only reads need.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The booking.
    pub booking: Booking,
    /// Its tickets, in item order.
    pub tickets: Vec<Ticket>,
    /// Its refunds, in the order asked for.
    pub refunds: Vec<Refund>,
}

/// A refund that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its key, as payment knows it.
    pub id: RefundId,
    /// How much.
    pub amount: Money,
    /// Where it stands, as payment told.
    pub state: RefundState,
    /// Why, for people.
    pub reason: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// Where a refund stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// Asked for; payment sees to it.
    Requested,
    /// The money went back.
    Done,
    /// Nothing had been captured, so nothing went back.
    Nothing,
    /// The provider refused too often: a person must look.
    Stuck,
}

impl RefundState {
    /// The stored name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Done => "done",
            Self::Nothing => "nothing",
            Self::Stuck => "stuck",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Requested, Self::Done, Self::Nothing, Self::Stuck].into_iter().find(|state| state.name() == name)
    }
}

/// A stored ticket.
#[derive(Debug, Clone)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The item it admits.
    pub item_id: ItemId,
    /// Signed.
    pub token: String,
    /// No longer admits.
    pub void: bool,
    /// When and where it admitted, once it has.
    pub used: Option<TicketUse>,
}

/// A ticket's one check-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketUse {
    /// When.
    pub at: DateTime<Utc>,
    /// The gate.
    pub gate: String,
}

pub(super) const COLUMNS: &str = "id, event_id, customer_id, state, total_minor, currency, attempts, sold_attempt,
    decline_code, cancel_cause, expires_at, grace_until, claims_held, sequence, fence, created_at";

/// Reads one booking with its items; `lock` is empty or ` FOR UPDATE`.
pub(super) async fn load(
    db: &Db,
    connection: &impl ConnectionTrait,
    id: BookingId,
    lock: &str,
) -> Result<Option<Booking>, DbErr> {
    let sql = format!("SELECT {COLUMNS} FROM bookings WHERE id = $1{lock}");
    let rows = db.query(connection, sql, [id.into()]).await?;
    Ok(with_items(db, connection, &rows).await?.pop())
}

/// Turns rows of `COLUMNS` into bookings, in the same order, reading all their items at once.
pub(super) async fn with_items(
    db: &Db,
    connection: &impl ConnectionTrait,
    rows: &[QueryResult],
) -> Result<Vec<Booking>, DbErr> {
    let mut bookings = rows.iter().map(booking).collect::<Result<Vec<_>, _>>()?;
    if bookings.is_empty() {
        return Ok(bookings);
    }
    let sql = format!(
        "SELECT id, booking_id, seat_id, area_id, label, price_minor, refunded_minor, cancelled_at FROM booking_items
         WHERE booking_id IN ({}) ORDER BY booking_id, ordinal",
        placeholders(bookings.len(), 1)
    );
    let ids: Vec<Value> = bookings.iter().map(|b| b.id.into()).collect();
    let mut items: HashMap<BookingId, Vec<Item>> = HashMap::new();
    let currencies: HashMap<BookingId, Currency> = bookings.iter().map(|b| (b.id, b.total.currency())).collect();
    for row in db.query(connection, sql, ids).await? {
        let booking: BookingId = row.try_get("", "booking_id")?;
        items.entry(booking).or_default().push(item(&row, currencies[&booking])?);
    }
    for booking in &mut bookings {
        booking.items = items.remove(&booking.id).unwrap_or_default();
    }
    Ok(bookings)
}

pub(super) fn item(row: &QueryResult, currency: Currency) -> Result<Item, DbErr> {
    Ok(Item {
        id: row.try_get("", "id")?,
        seat_id: row.try_get("", "seat_id")?,
        area_id: row.try_get("", "area_id")?,
        label: row.try_get("", "label")?,
        price: money(row.try_get("", "price_minor")?, currency)?,
        refunded: money(row.try_get("", "refunded_minor")?, currency)?,
        cancelled_at: row.try_get::<Option<i64>>("", "cancelled_at")?.map(from_micros),
    })
}

/// A ticket from its columns and its id, which other tables have too.
pub(super) fn ticket(row: &QueryResult, id: TicketId) -> Result<Ticket, DbErr> {
    let state: String = row.try_get("", "state")?;
    Ok(Ticket {
        id,
        item_id: row.try_get("", "item_id")?,
        token: row.try_get("", "token")?,
        void: state == "void",
        used: ticket_use(row)?,
    })
}

/// Reads `used_at` and `used_gate`.
pub(super) fn ticket_use(row: &QueryResult) -> Result<Option<TicketUse>, DbErr> {
    let at: Option<i64> = row.try_get("", "used_at")?;
    let gate: Option<String> = row.try_get("", "used_gate")?;
    Ok(at.map(|at| TicketUse { at: from_micros(at), gate: gate.unwrap_or_default() }))
}

fn booking(row: &QueryResult) -> Result<Booking, DbErr> {
    let currency: String = row.try_get("", "currency")?;
    let currency = Currency::parse(&currency).map_err(|e| broken("bookings.currency", &e.to_string()))?;
    let attempts: i32 = row.try_get("", "attempts")?;
    Ok(Booking {
        id: row.try_get("", "id")?,
        event_id: row.try_get("", "event_id")?,
        customer_id: row.try_get("", "customer_id")?,
        state: state(row, attempts.cast_unsigned())?,
        items: Vec::new(),
        total: money(row.try_get("", "total_minor")?, currency)?,
        attempts: attempts.cast_unsigned(),
        decline_code: row.try_get("", "decline_code")?,
        sequence: row.try_get("", "sequence")?,
        fence: row.try_get("", "fence")?,
        created_at: from_micros(row.try_get("", "created_at")?),
    })
}

fn state(row: &QueryResult, attempt: u32) -> Result<BookingState, DbErr> {
    let name: String = row.try_get("", "state")?;
    let sold: Option<i32> = row.try_get("", "sold_attempt")?;
    let sold = sold.map(i32::cast_unsigned);
    let instant = |column: &str| -> Result<_, DbErr> {
        let micros: Option<i64> = row.try_get("", column)?;
        micros.map(from_micros).ok_or_else(|| broken("bookings", &format!("{column} is null in state {name}")))
    };
    Ok(match name.as_str() {
        "HELD" => BookingState::Held { expires_at: instant("expires_at")? },
        "PAYING" => BookingState::Paying {
            attempt,
            expires_at: instant("expires_at")?,
            grace_until: instant("grace_until")?,
            claims_held: row.try_get("", "claims_held")?,
        },
        "CONFIRMED" => BookingState::Confirmed {
            attempt: sold.ok_or_else(|| broken("bookings", "sold_attempt is null in state CONFIRMED"))?,
        },
        "CANCELLED" => {
            let cause: Option<String> = row.try_get("", "cancel_cause")?;
            let cause = cause.as_deref().and_then(CancelCause::parse);
            BookingState::Cancelled { cause: cause.ok_or_else(|| broken("bookings.cancel_cause", "unknown"))?, sold }
        }
        "EXPIRED" => BookingState::Expired,
        "RELEASED" => BookingState::Released,
        other => return Err(broken("bookings.state", other)),
    })
}

pub(super) fn money(minor: i64, currency: Currency) -> Result<Money, DbErr> {
    Money::new(minor, currency).map_err(|e| broken("amount", &e.to_string()))
}

/// A row that breaks an invariant: an error of its own, not a panic.
pub(super) fn broken(place: &str, what: &str) -> DbErr {
    DbErr::Custom(format!("broken row: {place}: {what}"))
}

/// Writes the items of new bookings in one statement.
pub(super) async fn insert_items(
    db: &Db,
    connection: &impl ConnectionTrait,
    bookings: &[Booking],
) -> Result<(), DbErr> {
    let count = bookings.iter().map(|b| b.items.len()).sum();
    let sql = format!(
        "INSERT INTO booking_items (id, booking_id, ordinal, seat_id, area_id, label, price_minor, refunded_minor) VALUES {}",
        rows_of_placeholders(count, 8, 1)
    );
    let mut values: Vec<Value> = Vec::with_capacity(count * 8);
    for booking in bookings {
        for (item, ordinal) in booking.items.iter().zip(0_i32..) {
            values.extend([
                item.id.into(),
                booking.id.into(),
                ordinal.into(),
                item.seat_id.into(),
                item.area_id.into(),
                item.label.clone().into(),
                item.price.amount_minor().into(),
                0_i64.into(),
            ]);
        }
    }
    db.execute(connection, sql, values).await?;
    Ok(())
}

impl Store {
    /// A booking with its tickets.
    pub async fn stored(&self, connection: &impl ConnectionTrait, id: BookingId) -> Result<Option<Stored>, DbErr> {
        let Some(booking) = load(&self.db, connection, id, "").await? else { return Ok(None) };
        Ok(self.with_details(connection, vec![booking]).await?.pop())
    }

    /// Adds tickets and refunds to bookings, reading all of a kind at once.
    pub(super) async fn with_details(
        &self,
        connection: &impl ConnectionTrait,
        bookings: Vec<Booking>,
    ) -> Result<Vec<Stored>, DbErr> {
        if bookings.is_empty() {
            return Ok(Vec::new());
        }
        let mut tickets = self.tickets_of(connection, &bookings).await?;
        let mut refunds = self.refunds_of(connection, &bookings).await?;
        let stored = |booking: Booking| Stored {
            tickets: tickets.remove(&booking.id).unwrap_or_default(),
            refunds: refunds.remove(&booking.id).unwrap_or_default(),
            booking,
        };
        Ok(bookings.into_iter().map(stored).collect())
    }

    async fn tickets_of(
        &self,
        connection: &impl ConnectionTrait,
        bookings: &[Booking],
    ) -> Result<HashMap<BookingId, Vec<Ticket>>, DbErr> {
        let sql = format!(
            "SELECT t.id AS id, t.booking_id AS booking_id, t.item_id AS item_id, t.token AS token, t.state AS state,
                t.used_at AS used_at, t.used_gate AS used_gate
             FROM tickets t JOIN booking_items i ON i.id = t.item_id
             WHERE t.booking_id IN ({}) ORDER BY t.booking_id, i.ordinal",
            placeholders(bookings.len(), 1)
        );
        let ids: Vec<Value> = bookings.iter().map(|b| b.id.into()).collect();
        let mut tickets: HashMap<BookingId, Vec<Ticket>> = HashMap::new();
        for row in self.db.query(connection, sql, ids).await? {
            tickets.entry(row.try_get("", "booking_id")?).or_default().push(ticket(&row, row.try_get("", "id")?)?);
        }
        Ok(tickets)
    }

    async fn refunds_of(
        &self,
        connection: &impl ConnectionTrait,
        bookings: &[Booking],
    ) -> Result<HashMap<BookingId, Vec<Refund>>, DbErr> {
        let sql = format!(
            "SELECT id, booking_id, amount_minor, reason, state, created_at FROM booking_refunds
             WHERE booking_id IN ({}) ORDER BY booking_id, id",
            placeholders(bookings.len(), 1)
        );
        let ids: Vec<Value> = bookings.iter().map(|b| b.id.into()).collect();
        let currencies: HashMap<BookingId, Currency> = bookings.iter().map(|b| (b.id, b.total.currency())).collect();
        let mut refunds: HashMap<BookingId, Vec<Refund>> = HashMap::new();
        for row in self.db.query(connection, sql, ids).await? {
            let booking: BookingId = row.try_get("", "booking_id")?;
            refunds.entry(booking).or_default().push(refund(&row, currencies[&booking])?);
        }
        Ok(refunds)
    }
}

fn refund(row: &QueryResult, currency: Currency) -> Result<Refund, DbErr> {
    let state: String = row.try_get("", "state")?;
    Ok(Refund {
        id: row.try_get("", "id")?,
        amount: money(row.try_get("", "amount_minor")?, currency)?,
        state: RefundState::parse(&state).ok_or_else(|| broken("booking_refunds.state", &state))?,
        reason: row.try_get("", "reason")?,
        created_at: from_micros(row.try_get("", "created_at")?),
    })
}
