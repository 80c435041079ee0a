//! Writes new bookings: rows, items, `BookingHeld`, and the first lines of their histories.

use common::db::rows_of_placeholders;
use common::fact::NewFact;
use common::history::{self, Transition};
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::{Batch, Store};
use crate::domain::booking::{Booking, BookingFact};
use crate::infrastructure::store::rows;
use crate::infrastructure::wire;

impl Store {
    /// Writes everything about bookings whose places are claimed.
    pub(super) async fn record(
        &self,
        transaction: &DatabaseTransaction,
        bookings: &[Booking],
        batch: &Batch,
    ) -> Result<(), DbErr> {
        self.insert_bookings(transaction, bookings, batch).await?;
        rows::insert_items(&self.db, transaction, bookings).await?;

        let held = BookingFact::Held { expires_at: batch.expires_at };
        let facts: Vec<NewFact> = bookings.iter().map(|b| wire::fact(b, &held, b.sequence)).collect();
        self.outbox.append(transaction, &facts).await?;

        let first = |booking: &Booking| Transition {
            entity: "booking",
            entity_id: booking.id.0,
            from: "",
            to: booking.state.name(),
            cause: "hold".to_owned(),
            actor: booking.customer_id.clone(),
            at: batch.now.timestamp_micros(),
        };
        history::write(&self.db, transaction, &bookings.iter().map(first).collect::<Vec<_>>()).await
    }

    async fn insert_bookings(
        &self,
        transaction: &DatabaseTransaction,
        bookings: &[Booking],
        batch: &Batch,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO bookings (id, event_id, customer_id, offer_version, state, places, total_minor, currency, attempts,
                expires_at, claims_held, captured, sequence, fence, created_at, updated_at, asked_at) VALUES {}",
            rows_of_placeholders(bookings.len(), 17, 1)
        );
        let now = batch.now.timestamp_micros();
        let mut values: Vec<Value> = Vec::with_capacity(bookings.len() * 17);
        for booking in bookings {
            values.extend([
                booking.id.into(),
                booking.event_id.into(),
                booking.customer_id.clone().into(),
                batch.offer_version.into(),
                booking.state.name().into(),
                i32::try_from(booking.items.len()).unwrap_or(i32::MAX).into(),
                booking.total.amount_minor().into(),
                booking.total.currency().code().into(),
                0_i32.into(),
                batch.expires_at.timestamp_micros().into(),
                true.into(),
                false.into(),
                booking.sequence.into(),
                booking.fence.into(),
                now.into(),
                now.into(),
                now.into(),
            ]);
        }
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }
}
