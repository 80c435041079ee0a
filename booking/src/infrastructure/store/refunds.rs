//! Money: what went off items, refunds asked for, and what payment answered: captures noted, refunds closed.

use chrono::{DateTime, Utc};
use common::db::placeholders;
use common::ids::{BookingId, RefundId};
use common::money::Money;
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::Store;
use super::rows::RefundState;
use crate::domain::booking::{Booking, Item};

impl Store {
    /// Notes that the money of a confirmed booking was taken.
    pub async fn note_captured(&self, transaction: &DatabaseTransaction, booking: BookingId) -> Result<(), DbErr> {
        let sql = "UPDATE bookings SET captured = TRUE WHERE id = $1";
        self.db.execute(transaction, sql, [booking.into()]).await?;
        Ok(())
    }

    /// Closes a refund of a booking, for good or until a person has looked.
    pub async fn close_refund(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
        refund: RefundId,
        state: RefundState,
    ) -> Result<(), DbErr> {
        let sql = "UPDATE booking_refunds SET state = $2 WHERE id = $1 AND booking_id = $3";
        self.db.execute(transaction, sql, [refund.into(), state.name().into(), booking.into()]).await?;
        Ok(())
    }

    /// Notes a refund asked for.
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
        Ok(())
    }

    /// Writes what changed of a booking's items; those that changed alike by one statement.
    pub(super) async fn update_items(
        &self,
        transaction: &DatabaseTransaction,
        before: &Booking,
        next: &Booking,
    ) -> Result<(), DbErr> {
        let mut changed: Vec<&Item> =
            before.items.iter().zip(&next.items).filter(|(old, new)| old != new).map(|(_, new)| new).collect();
        changed.sort_by_key(|item| fate(item));
        for alike in changed.chunk_by(|a, b| fate(a) == fate(b)) {
            let sql = format!(
                "UPDATE booking_items SET refunded_minor = $1, cancelled_at = $2 WHERE id IN ({})",
                placeholders(alike.len(), 3)
            );
            let (refunded, cancelled_at) = fate(alike[0]);
            let mut values: Vec<Value> = vec![refunded.into(), cancelled_at.into()];
            values.extend(alike.iter().map(|item| Value::from(item.id)));
            self.db.execute(transaction, sql, values).await?;
        }
        Ok(())
    }
}

/// What of an item may change.
fn fate(item: &Item) -> (i64, Option<i64>) {
    (item.refunded.amount_minor(), item.cancelled_at.map(|at| at.timestamp_micros()))
}
