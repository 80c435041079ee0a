//! The transitions of bookings, as the append-only history has them.

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::ids::{BookingId, EventId, SeatId};
use sea_orm::{DbErr, QueryResult, Value};

use super::Store;

/// One transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// Its place in the order.
    pub position: i64,
    /// The booking that changed.
    pub booking_id: BookingId,
    /// State before; empty at the beginning.
    pub from: String,
    /// State after.
    pub to: String,
    /// A stable word.
    pub cause: String,
    /// Who acted.
    pub actor: String,
    /// Empty when there was none.
    pub trace_id: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Which part of a history.
#[derive(Debug, Clone, Copy)]
pub struct HistoryPage {
    /// Only behind this position; 0 from the beginning.
    pub after: i64,
    /// How many.
    pub limit: u32,
}

impl Store {
    /// The transitions of one booking, in order.
    pub async fn booking_history(&self, booking: BookingId, page: HistoryPage) -> Result<Vec<HistoryRow>, DbErr> {
        self.history("entity_id = $2", vec![booking.into()], page).await
    }

    /// The transitions of all bookings of an event that ever had this seat, in order.
    pub async fn seat_history(
        &self,
        event: EventId,
        seat: SeatId,
        page: HistoryPage,
    ) -> Result<Vec<HistoryRow>, DbErr> {
        let filter = "entity_id IN (SELECT b.id FROM booking_items i JOIN bookings b ON b.id = i.booking_id
            WHERE i.seat_id = $2 AND b.event_id = $3)";
        self.history(filter, vec![seat.into(), event.into()], page).await
    }

    /// Whether the offer held here has this seat.
    pub async fn knows_seat(&self, event: EventId, seat: SeatId) -> Result<bool, DbErr> {
        let Some(known) = self.known_event(event).await? else { return Ok(false) };
        let offer = self.offer(event, known.offer_version).await?;
        Ok(offer.is_some_and(|offer| offer.seat(seat).is_some()))
    }

    async fn history(&self, filter: &str, mut values: Vec<Value>, page: HistoryPage) -> Result<Vec<HistoryRow>, DbErr> {
        let sql = format!(
            "SELECT position, entity_id, from_state, to_state, cause, actor, trace_id, at FROM history
             WHERE position > $1 AND entity = 'booking' AND {filter} ORDER BY position LIMIT {}",
            page.limit
        );
        values.insert(0, page.after.into());
        self.db.query(self.db.reader(), sql, values).await?.iter().map(row).collect()
    }
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
    })
}
