//! What a hold locks and checks before it claims anything: request ids, customers, the sale, limits.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::db::{placeholders, rows_of_placeholders};
use common::ids::{BookingId, EventId};
use common::requests::{self, Claim};
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::{HoldOrder, HoldOutcome, Stop, Store};

/// The event's row, and when it was read.
pub(super) struct EventRow {
    pub now: DateTime<Utc>,
    pub offer_version: i64,
    pub limit: i64,
    sale_starts_at: DateTime<Utc>,
    sale_ends_at: DateTime<Utc>,
    cancelled: bool,
}

impl Store {
    /// Claims the request ids in order; a twin waits here for the first one's outcome.
    pub(super) async fn claim_requests(
        &self,
        transaction: &DatabaseTransaction,
        orders: &[HoldOrder],
    ) -> Result<(), Stop> {
        let mut keys: Vec<_> = orders.iter().map(|order| &order.key).collect();
        keys.sort_by_key(|key| (&key.scope, &key.id));
        for key in keys {
            match requests::claim(&self.db, transaction, key).await? {
                Claim::New => {}
                Claim::Answered(answer) => return Err(Stop::Refused(HoldOutcome::Replayed(answer))),
                Claim::Different => return Err(Stop::Refused(HoldOutcome::RequestConflict)),
            }
        }
        Ok(())
    }

    /// Locks the (event, customer) rows in order, by an upsert that changes nothing.
    pub(super) async fn lock_customers(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
    ) -> Result<(), DbErr> {
        let customers = customers(orders);
        let sql = format!(
            "INSERT INTO event_customers (event_id, customer_id) VALUES {}
             ON CONFLICT (event_id, customer_id) DO UPDATE SET customer_id = excluded.customer_id",
            rows_of_placeholders(customers.len(), 2, 1)
        );
        let values: Vec<Value> = customers.into_iter().flat_map(|c| [event.into(), c.into()]).collect();
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// The same for the customer of a booking, so that nobody counts the customer's places while they change.
    pub(in super::super) async fn lock_customer_of(
        &self,
        transaction: &DatabaseTransaction,
        booking: BookingId,
    ) -> Result<(), DbErr> {
        let sql = "INSERT INTO event_customers (event_id, customer_id)
            SELECT event_id, customer_id FROM bookings WHERE id = $1
            ON CONFLICT (event_id, customer_id) DO UPDATE SET customer_id = excluded.customer_id";
        self.db.execute(transaction, sql, [booking.into()]).await?;
        Ok(())
    }

    /// Cancelled and the sale window are checked on the row, by the database's clock, not in memory.
    pub(super) async fn check_sale(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
    ) -> Result<EventRow, Stop> {
        let Some(row) = self.event_row(transaction, event).await? else {
            return Err(Stop::Refused(HoldOutcome::NoEvent));
        };
        if row.cancelled {
            return Err(Stop::Refused(HoldOutcome::NotOnSale("the event is cancelled")));
        }
        if orders.iter().any(|order| order.order.offer_version != row.offer_version) {
            return Err(Stop::Refused(HoldOutcome::OtherOffer(row.offer_version)));
        }
        if row.now < row.sale_starts_at {
            return Err(Stop::Refused(HoldOutcome::NotOnSale("the sale has not started")));
        }
        if row.now >= row.sale_ends_at {
            return Err(Stop::Refused(HoldOutcome::NotOnSale("the sale is over")));
        }
        Ok(row)
    }

    async fn event_row(&self, transaction: &DatabaseTransaction, event: EventId) -> Result<Option<EventRow>, DbErr> {
        let sql = format!(
            "SELECT offer_version, sale_starts_at, sale_ends_at, per_customer_limit, cancelled_at, {} AS now
             FROM events WHERE event_id = $1",
            self.db.now_sql()
        );
        let rows = self.db.query(transaction, sql, [event.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let cancelled_at: Option<i64> = row.try_get("", "cancelled_at")?;
        let limit: i32 = row.try_get("", "per_customer_limit")?;
        Ok(Some(EventRow {
            now: from_micros(row.try_get("", "now")?),
            offer_version: row.try_get("", "offer_version")?,
            limit: limit.into(),
            sale_starts_at: from_micros(row.try_get("", "sale_starts_at")?),
            sale_ends_at: from_micros(row.try_get("", "sale_ends_at")?),
            cancelled: cancelled_at.is_some(),
        }))
    }

    /// Counts each customer's live places: held and not lapsed, being paid, confirmed.
    pub(super) async fn check_limits(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        limit: i64,
        orders: &[HoldOrder],
    ) -> Result<(), Stop> {
        let customers = customers(orders);
        let sql = format!(
            "SELECT customer_id, CAST(sum(places) AS bigint) AS live FROM bookings
             WHERE event_id = $1 AND customer_id IN ({})
               AND (state IN ('PAYING', 'CONFIRMED') OR (state = 'HELD' AND expires_at > {}))
             GROUP BY customer_id",
            placeholders(customers.len(), 2),
            self.db.now_sql()
        );
        let mut values: Vec<Value> = vec![event.into()];
        values.extend(customers.into_iter().map(Value::from));
        let mut live: HashMap<String, i64> = HashMap::new();
        for counted in self.db.query(transaction, sql, values).await? {
            live.insert(counted.try_get("", "customer_id")?, counted.try_get("", "live")?);
        }
        for order in orders {
            let live = live.entry(order.order.customer_id.clone()).or_default();
            let wanted = i64::try_from(order.order.items.len()).unwrap_or(i64::MAX);
            if *live + wanted > limit {
                return Err(Stop::Refused(HoldOutcome::LimitExceeded { live: *live, limit }));
            }
            *live += wanted;
        }
        Ok(())
    }
}

/// The customers of a list, each once, in lock order.
fn customers(orders: &[HoldOrder]) -> Vec<&str> {
    let mut customers: Vec<&str> = orders.iter().map(|o| o.order.customer_id.as_str()).collect();
    customers.sort_unstable();
    customers.dedup();
    customers
}
