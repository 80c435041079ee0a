//! What time brings about: bookings to end, and questions to ask again.

use chrono::Duration;
use common::ids::BookingId;
use sea_orm::{DbErr, Value};

use super::Store;

/// Bookings swept in one round.
const SWEEP_MAX: u32 = 500;

impl Store {
    /// Holds that lapsed, oldest first.
    pub async fn lapsed(&self) -> Result<Vec<BookingId>, DbErr> {
        let sql = format!(
            "SELECT id FROM bookings WHERE state = 'HELD' AND expires_at <= {} ORDER BY expires_at LIMIT {SWEEP_MAX}",
            self.db.now_sql()
        );
        self.ids(sql, vec![]).await
    }

    /// Paying bookings whose grace is over and whose claims were not given back yet.
    pub async fn grace_over(&self) -> Result<Vec<BookingId>, DbErr> {
        let sql = format!(
            "SELECT id FROM bookings WHERE state = 'PAYING' AND grace_until <= {} AND claims_held = TRUE
             ORDER BY grace_until LIMIT {SWEEP_MAX}",
            self.db.now_sql()
        );
        self.ids(sql, vec![]).await
    }

    /// Held and confirmed bookings of cancelled events.
    pub async fn of_cancelled_events(&self) -> Result<Vec<BookingId>, DbErr> {
        let sql = format!(
            "SELECT b.id AS id FROM events e JOIN bookings b ON b.event_id = e.event_id
             WHERE e.cancelled_at IS NOT NULL AND b.state IN ('HELD', 'CONFIRMED') LIMIT {SWEEP_MAX}"
        );
        self.ids(sql, vec![]).await
    }

    /// Bookings that wait for payment longer than `waiting`: Paying, Confirmed and uncaptured, or with an open refund; marks
    /// them as asked now.
    pub async fn waiting(&self, waiting: Duration) -> Result<Vec<BookingId>, DbErr> {
        let sql = format!(
            "UPDATE bookings SET asked_at = {now} WHERE id IN (
                SELECT id FROM bookings b WHERE b.asked_at <= {now} - $1 AND (b.state = 'PAYING'
                   OR (b.state = 'CONFIRMED' AND b.captured = FALSE AND b.total_minor > 0)
                   OR EXISTS (SELECT 1 FROM booking_refunds r WHERE r.booking_id = b.id AND r.state = 'requested'))
                LIMIT {SWEEP_MAX})
             RETURNING id",
            now = self.db.now_sql()
        );
        let micros = waiting.num_microseconds().unwrap_or(i64::MAX);
        let rows = self.db.query(self.db.writer(), sql, [micros.into()]).await?;
        rows.iter().map(|row| row.try_get("", "id")).collect()
    }

    async fn ids(&self, sql: String, values: Vec<Value>) -> Result<Vec<BookingId>, DbErr> {
        self.db.query(self.db.reader(), sql, values).await?.iter().map(|row| row.try_get("", "id")).collect()
    }
}
