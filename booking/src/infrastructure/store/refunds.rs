//! What payment answered about money: captures noted, refunds closed.

use common::ids::{BookingId, RefundId};
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
}
