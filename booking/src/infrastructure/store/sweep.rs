//! What time brings about: bookings to end, and questions to ask again.

use chrono::Duration;
use common::ids::BookingId;
use sea_orm::{DbErr, Value};

use super::Store;

/// Bookings of one kind swept in one step.
pub const SWEEP_MAX: usize = 500;

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
             WHERE e.cancelled_at IS NOT NULL AND b.state IN ('HELD', 'CONFIRMED') ORDER BY b.id LIMIT {SWEEP_MAX}"
        );
        self.ids(sql, vec![]).await
    }

    /// Cancelled bookings of cancelled events of which a fee was kept since the event was cancelled.
    pub async fn kept_since_cancelled(&self) -> Result<Vec<BookingId>, DbErr> {
        let sql = format!(
            "SELECT b.id AS id FROM events e JOIN bookings b ON b.event_id = e.event_id
             WHERE e.cancelled_at IS NOT NULL AND b.kept_at >= e.cancelled_at AND b.state = 'CANCELLED'
             ORDER BY b.id LIMIT {SWEEP_MAX}"
        );
        self.ids(sql, vec![]).await
    }

    /// Bookings that wait for payment longer than `waiting`, longest first: Paying, Confirmed and uncaptured, or with an open
    /// refund.
    pub async fn waiting(&self, waiting: Duration) -> Result<Vec<BookingId>, DbErr> {
        let sql = format!(
            "SELECT id FROM (
                SELECT id, asked_at FROM bookings WHERE state = 'PAYING'
                UNION SELECT id, asked_at FROM bookings
                    WHERE state = 'CONFIRMED' AND captured = FALSE AND total_minor > 0
                UNION SELECT b.id, b.asked_at FROM booking_refunds r JOIN bookings b ON b.id = r.booking_id
                    WHERE r.state = 'requested'
             ) waiting WHERE asked_at <= {} - $1 ORDER BY asked_at LIMIT {SWEEP_MAX}",
            self.db.now_sql()
        );
        self.ids(sql, vec![micros(waiting)]).await
    }

    /// Notes that payment is asked now; false when another replica has asked meanwhile, or the wait is over.
    pub async fn note_asked(&self, booking: BookingId, waiting: Duration) -> Result<bool, DbErr> {
        let sql = format!(
            "UPDATE bookings SET asked_at = {now} WHERE id = $1 AND asked_at <= {now} - $2",
            now = self.db.now_sql()
        );
        Ok(self.db.execute(self.db.writer(), sql, [booking.into(), micros(waiting)]).await? == 1)
    }

    async fn ids(&self, sql: String, values: Vec<Value>) -> Result<Vec<BookingId>, DbErr> {
        self.db.query(self.db.reader(), sql, values).await?.iter().map(|row| row.try_get("", "id")).collect()
    }
}

fn micros(duration: Duration) -> Value {
    duration.num_microseconds().unwrap_or(i64::MAX).into()
}
