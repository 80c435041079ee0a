//! Money: refunds asked for, and what payment answered: captures noted, refunds closed.

use chrono::{DateTime, Utc};
use common::ids::{BookingId, RefundId};
use common::money::Money;
use sea_orm::{DatabaseTransaction, DbErr};

use super::Store;

impl Store {
    /// Notes that the money of a confirmed booking was taken.
    pub async fn note_captured(&self, transaction: &DatabaseTransaction, booking: BookingId) -> Result<(), DbErr> {
        let sql = "UPDATE bookings SET captured = TRUE WHERE id = $1";
        self.db.execute(transaction, sql, [booking.into()]).await?;
        Ok(())
    }

    /// Closes a refund of a booking: `done`, `nothing` or `stuck`.
    pub async fn close_refund(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
        refund: RefundId,
        state: &'static str,
    ) -> Result<(), DbErr> {
        let sql = "UPDATE booking_refunds SET state = $2 WHERE id = $1 AND booking_id = $3";
        self.db.execute(transaction, sql, [refund.into(), state.into(), booking.into()]).await?;
        Ok(())
    }

    /// Notes a refund asked for, of everything a booking cost.
    pub(super) async fn insert_refund(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
        refund: RefundId,
        amount: Money,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let sql = "INSERT INTO booking_refunds (id, booking_id, amount_minor, reason, state, created_at)
            VALUES ($1, $2, $3, $4, 'requested', $5)";
        let values =
            [refund.into(), booking.into(), amount.amount_minor().into(), reason.into(), now.timestamp_micros().into()];
        self.db.execute(transaction, sql, values).await?;
        let sql = "UPDATE booking_items SET refunded_minor = price_minor WHERE booking_id = $1";
        self.db.execute(transaction, sql, [booking.into()]).await?;
        Ok(())
    }
}
