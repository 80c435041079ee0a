//! The histories of bookings, append-only: their transitions, and what happened to them without changing their state.

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::db::rows_of_placeholders;
use common::ids::{BookingId, EventId, ItemId, SeatId};
use common::telemetry;
use sea_orm::{DatabaseTransaction, DbErr, QueryResult, Value};

use super::Store;
use super::write::Because;
use crate::domain::booking::Booking;

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its place in the order.
    pub position: i64,
    /// The booking it is about.
    pub booking_id: BookingId,
    /// State before; empty at the beginning.
    pub from: String,
    /// State after; the same as before for what changed no state.
    pub to: String,
    /// A stable word.
    pub cause: String,
    /// Who acted.
    pub actor: String,
    /// Empty when there was none.
    pub trace_id: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The one item it is about, if it is not about all of them.
    pub item_id: Option<ItemId>,
    /// For people, for instance `refund of 25.00 EUR`; may be empty.
    pub detail: String,
}

/// Which part of a history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryPage {
    /// Only behind this position; 0 from the beginning.
    pub after: i64,
    /// How many.
    pub limit: u32,
}

/// A line to write.
pub(super) struct Line {
    pub booking_id: BookingId,
    pub from: &'static str,
    pub to: &'static str,
    pub item_id: Option<ItemId>,
    pub detail: String,
}

impl Store {
    /// The lines of one booking, in order.
    pub async fn booking_history(&self, booking: BookingId, page: HistoryPage) -> Result<Vec<HistoryRow>, DbErr> {
        self.history("history h", "h.entity_id = $2", vec![booking.into()], page).await
    }

    /// The lines of all bookings of an event that ever had this seat, each until it had the seat no more, in order.
    pub async fn seat_history(
        &self,
        event: EventId,
        seat: SeatId,
        page: HistoryPage,
    ) -> Result<Vec<HistoryRow>, DbErr> {
        let from =
            "booking_items i JOIN bookings b ON b.id = i.booking_id JOIN history h ON h.entity_id = i.booking_id";
        let filter = "i.seat_id = $2 AND b.event_id = $3 AND h.at <= coalesce(i.cancelled_at, h.at)
            AND (h.item_id IS NULL OR h.item_id = i.id)";
        self.history(from, filter, vec![seat.into(), event.into()], page).await
    }

    /// Whether the offer held here has this seat.
    pub async fn knows_seat(&self, event: EventId, seat: SeatId) -> Result<bool, DbErr> {
        let Some(known) = self.known_event(event).await? else { return Ok(false) };
        let offer = self.offer(event, known.offer_version).await?;
        Ok(offer.is_some_and(|offer| offer.seat(seat).is_some()))
    }

    async fn history(
        &self,
        from: &str,
        filter: &str,
        mut values: Vec<Value>,
        page: HistoryPage,
    ) -> Result<Vec<HistoryRow>, DbErr> {
        let sql = format!(
            "SELECT h.position AS position, h.entity_id AS entity_id, h.from_state AS from_state, h.to_state AS to_state,
                h.cause AS cause, h.actor AS actor, h.trace_id AS trace_id, h.at AS at, h.item_id AS item_id,
                h.detail AS detail
             FROM {from} WHERE h.position > $1 AND h.entity = 'booking' AND {filter} ORDER BY h.position LIMIT {}",
            page.limit
        );
        values.insert(0, page.after.into());
        self.db.query(self.db.reader(), sql, values).await?.iter().map(row).collect()
    }

    /// Writes what a decision did to a booking.
    pub(super) async fn note(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        next: &Booking,
        because: Because<'_>,
    ) -> Result<(), DbErr> {
        self.write_lines(transaction, &lines(before, next), because).await
    }

    /// Writes lines in one statement.
    pub(super) async fn write_lines(
        &self,
        transaction: &DatabaseTransaction,
        lines: &[Line],
        because: Because<'_>,
    ) -> Result<(), DbErr> {
        if lines.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO history (entity, entity_id, from_state, to_state, cause, actor, trace_id, at, item_id, detail)
             VALUES {}",
            rows_of_placeholders(lines.len(), 10, 1)
        );
        let trace_id = telemetry::trace_id().unwrap_or_default();
        let values = lines.iter().flat_map(|line| -> [Value; 10] {
            [
                "booking".into(),
                line.booking_id.into(),
                line.from.into(),
                line.to.into(),
                because.cause.into(),
                because.actor.into(),
                trace_id.clone().into(),
                because.now.timestamp_micros().into(),
                line.item_id.into(),
                line.detail.clone().into(),
            ]
        });
        self.db.execute(transaction, sql, values.collect::<Vec<_>>()).await?;
        Ok(())
    }
}

/// A transition is one line; items given up without one are a line each, and money that goes back without either is one.
fn lines(before: &Booking, next: &Booking) -> Vec<Line> {
    let (from, to) = (before.state.name(), next.state.name());
    let line = |item_id, back: i64| {
        let currency = before.total.currency();
        let amount = common::money::Money::new(back, currency).ok().filter(|amount| !amount.is_zero());
        let detail = amount.map(|amount| format!("refund of {amount}")).unwrap_or_default();
        Line { booking_id: before.id, from, to, item_id, detail }
    };
    let back = before.left().amount_minor() - next.left().amount_minor();
    if from != to {
        return vec![line(None, back)];
    }
    let given_up: Vec<Line> = (before.items.iter().zip(&next.items))
        .filter(|(old, new)| old.is_live() && !new.is_live())
        .map(|(old, new)| line(Some(new.id), old.left().amount_minor() - new.left().amount_minor()))
        .collect();
    if given_up.is_empty() && back > 0 { vec![line(None, back)] } else { given_up }
}

fn row(row: &QueryResult) -> Result<HistoryRow, DbErr> {
    Ok(HistoryRow {
        position: row.try_get("", "position")?,
        booking_id: row.try_get("", "entity_id")?,
        from: row.try_get("", "from_state")?,
        to: row.try_get("", "to_state")?,
        cause: row.try_get("", "cause")?,
        actor: row.try_get("", "actor")?,
        trace_id: row.try_get("", "trace_id")?,
        at: from_micros(row.try_get("", "at")?),
        item_id: row.try_get("", "item_id")?,
        detail: row.try_get("", "detail")?,
    })
}
