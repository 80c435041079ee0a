//! Holds: a list of holds of one event in one transaction, set-based, with a typed outcome for each; the single hold is the
//! list of one. A list in which anything is refused is rolled back and done one by one.
//!
//! First the request ids and the (event, customer) rows are locked; what follows sees a snapshot taken after the lock.
//! Counting and locking in one statement would count what an earlier snapshot saw.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use common::db::{placeholders, rows_of_placeholders};
use common::fact::NewFact;
use common::history::{self, Transition};
use common::ids::{AreaId, EventId, SeatId};
use common::requests::{self, Claim, RequestKey};
use sea_orm::{DatabaseTransaction, DbErr, Value};

use super::claims::{self, SeatWish};
use super::{Store, rows};
use crate::domain::booking::{Booking, BookingFact, BookingState};
use crate::domain::hold::Order;
use crate::infrastructure::store::Stored;
use crate::infrastructure::wire;

/// A hold to take, with the request id that remembers it.
pub struct HoldOrder {
    /// Remembers the answer.
    pub key: RequestKey,
    /// What to hold.
    pub order: Order,
}

/// What became of one hold.
#[derive(Debug)]
pub enum HoldOutcome {
    /// Held.
    Held(Box<Stored>),
    /// Answered before, with this.
    Replayed(Vec<u8>),
    /// The request id was used for something else.
    RequestConflict,
    /// The event is unknown here.
    NoEvent,
    /// The offer in memory is not the current one: fetch this version and price again.
    OtherOffer(i64),
    /// Cancelled, or outside its sale window.
    NotOnSale(&'static str),
    /// The customer has this many live places of at most this many.
    LimitExceeded {
        /// Live places.
        live: i64,
        /// Most allowed.
        limit: i64,
    },
    /// These seats are another's.
    SeatsTaken(Vec<SeatId>),
    /// This area has not enough places left.
    SoldOut(AreaId),
}

enum Attempt {
    Held(Vec<Stored>),
    Refused(HoldOutcome),
}

struct EventRow {
    offer_version: i64,
    sale_starts_at: i64,
    sale_ends_at: i64,
    limit: i64,
    cancelled: bool,
}

impl Store {
    /// Holds for one event, each all or nothing, and returns one outcome per order, in order.
    pub async fn hold(
        &self,
        event: EventId,
        orders: &[HoldOrder],
        answer: &(dyn Fn(&Stored) -> Vec<u8> + Sync),
    ) -> Result<Vec<HoldOutcome>, DbErr> {
        match self.attempt_holds(event, orders, answer).await? {
            Attempt::Held(stored) => Ok(stored.into_iter().map(|s| HoldOutcome::Held(Box::new(s))).collect()),
            Attempt::Refused(outcome) if orders.len() == 1 => Ok(vec![outcome]),
            Attempt::Refused(_) => {
                let mut outcomes = Vec::with_capacity(orders.len());
                for order in orders.chunks(1) {
                    match self.attempt_holds(event, order, answer).await? {
                        Attempt::Held(stored) => {
                            outcomes.extend(stored.into_iter().map(|s| HoldOutcome::Held(Box::new(s))));
                        }
                        Attempt::Refused(outcome) => outcomes.push(outcome),
                    }
                }
                Ok(outcomes)
            }
        }
    }

    async fn attempt_holds(
        &self,
        event: EventId,
        orders: &[HoldOrder],
        answer: &(dyn Fn(&Stored) -> Vec<u8> + Sync),
    ) -> Result<Attempt, DbErr> {
        let transaction = self.db.begin().await?;
        if let Some(refused) = self.claim_requests(&transaction, orders).await? {
            return Ok(Attempt::Refused(refused));
        }
        self.lock_customers(&transaction, event, orders).await?;

        let now = self.db.now(&transaction).await?;
        let Some(row) = self.event_row(&transaction, event).await? else {
            return Ok(Attempt::Refused(HoldOutcome::NoEvent));
        };
        if let Some(refused) = on_sale(&row, orders, now.timestamp_micros()) {
            return Ok(Attempt::Refused(refused));
        }
        if let Some(refused) = self.check_limits(&transaction, event, &row, orders).await? {
            return Ok(Attempt::Refused(refused));
        }

        let expires_at = now + self.terms.hold;
        let fence = claims::next_fence(&self.db, &transaction).await?;
        if let Some(refused) = self.claim(&transaction, event, orders, fence, expires_at.timestamp_micros()).await? {
            return Ok(Attempt::Refused(refused));
        }

        let booked = |order: &HoldOrder| Booking {
            id: order.order.booking_id,
            event_id: event,
            customer_id: order.order.customer_id.clone(),
            state: BookingState::Held { expires_at },
            items: order.order.items.clone(),
            total: order.order.total,
            attempts: 0,
            decline_code: None,
            sequence: 1,
            fence,
            created_at: now,
        };
        let bookings: Vec<Booking> = orders.iter().map(booked).collect();
        self.insert_bookings(&transaction, &bookings, row.offer_version, now.timestamp_micros()).await?;
        self.tell_held(&transaction, &bookings, expires_at, now).await?;
        let held: Vec<Stored> = bookings.into_iter().map(|booking| Stored { booking, tickets: Vec::new() }).collect();
        for (order, stored) in orders.iter().zip(&held) {
            requests::answer(&self.db, &transaction, &order.key, answer(stored)).await?;
        }
        transaction.commit().await?;
        self.outbox.wake();
        Ok(Attempt::Held(held))
    }

    /// Claims the request ids in order; a twin waits here for the first one's outcome.
    async fn claim_requests(
        &self,
        transaction: &DatabaseTransaction,
        orders: &[HoldOrder],
    ) -> Result<Option<HoldOutcome>, DbErr> {
        let mut sorted: Vec<usize> = (0..orders.len()).collect();
        sorted.sort_by_key(|at| (&orders[*at].key.scope, &orders[*at].key.id));
        for at in sorted {
            let outcome = match requests::claim(&self.db, transaction, &orders[at].key).await? {
                Claim::New => continue,
                Claim::Answered(answer) => HoldOutcome::Replayed(answer),
                Claim::Different => HoldOutcome::RequestConflict,
            };
            return Ok(Some(outcome));
        }
        Ok(None)
    }

    /// Locks the (event, customer) rows in order, by an upsert that changes nothing.
    async fn lock_customers(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
    ) -> Result<(), DbErr> {
        let mut customers: Vec<&str> = orders.iter().map(|o| o.order.customer_id.as_str()).collect();
        customers.sort_unstable();
        customers.dedup();
        let sql = format!(
            "INSERT INTO event_customers (event_id, customer_id) VALUES {}
             ON CONFLICT (event_id, customer_id) DO UPDATE SET customer_id = excluded.customer_id",
            rows_of_placeholders(customers.len(), 2, 1)
        );
        let values: Vec<Value> = customers.into_iter().flat_map(|c| [event.into(), c.into()]).collect();
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    async fn event_row(&self, transaction: &DatabaseTransaction, event: EventId) -> Result<Option<EventRow>, DbErr> {
        let sql = "SELECT offer_version, sale_starts_at, sale_ends_at, per_customer_limit, cancelled_at
            FROM events WHERE event_id = $1";
        let rows = self.db.query(transaction, sql, [event.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let cancelled_at: Option<i64> = row.try_get("", "cancelled_at")?;
        let limit: i32 = row.try_get("", "per_customer_limit")?;
        Ok(Some(EventRow {
            offer_version: row.try_get("", "offer_version")?,
            sale_starts_at: row.try_get("", "sale_starts_at")?,
            sale_ends_at: row.try_get("", "sale_ends_at")?,
            limit: limit.into(),
            cancelled: cancelled_at.is_some(),
        }))
    }

    /// Counts each customer's live places: held and not lapsed, being paid, confirmed.
    async fn check_limits(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        row: &EventRow,
        orders: &[HoldOrder],
    ) -> Result<Option<HoldOutcome>, DbErr> {
        let mut customers: Vec<&str> = orders.iter().map(|o| o.order.customer_id.as_str()).collect();
        customers.sort_unstable();
        customers.dedup();
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
            if *live + wanted > row.limit {
                return Ok(Some(HoldOutcome::LimitExceeded { live: *live, limit: row.limit }));
            }
            *live += wanted;
        }
        Ok(None)
    }

    /// Claims seats by id, then area places by id.
    async fn claim(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
        fence: i64,
        expires_at: i64,
    ) -> Result<Option<HoldOutcome>, DbErr> {
        let mut wishes = Vec::new();
        for order in orders {
            let booking_id = order.order.booking_id;
            let wish = |seat_id| SeatWish { seat_id, booking_id, fence, expires_at };
            wishes.extend(order.order.seats_sorted().into_iter().map(wish));
        }
        let wanted = wishes.len();
        let got: std::collections::HashSet<SeatId> = if distinct(&wishes) {
            claims::take_seats(&self.db, transaction, event, wishes).await?.into_iter().collect()
        } else {
            // Two orders of one list want the same seat: one by one they get typed answers.
            return Ok(Some(HoldOutcome::SeatsTaken(Vec::new())));
        };
        if got.len() != wanted {
            let lost = |order: &HoldOrder| -> Vec<SeatId> {
                order.order.items.iter().filter_map(|i| i.seat_id).filter(|seat| !got.contains(seat)).collect()
            };
            let lost = orders.iter().map(lost).find(|lost| !lost.is_empty()).unwrap_or_default();
            return Ok(Some(HoldOutcome::SeatsTaken(lost)));
        }

        let mut per_area: BTreeMap<AreaId, Vec<(usize, u32)>> = BTreeMap::new();
        for (order, at) in orders.iter().zip(0..) {
            for (area, quantity) in &order.order.areas {
                per_area.entry(*area).or_default().push((at, *quantity));
            }
        }
        let mut places = Vec::new();
        for (area, wanted) in per_area {
            for (at, quantity) in wanted {
                if !claims::take_places(&self.db, transaction, event, area, quantity).await? {
                    return Ok(Some(HoldOutcome::SoldOut(area)));
                }
                places.push((area, orders[at].order.booking_id, quantity, fence, expires_at));
            }
        }
        claims::insert_places(&self.db, transaction, event, &places).await?;
        Ok(None)
    }

    /// Tells `BookingHeld`, each booking's first fact, and writes the first lines of their histories.
    async fn tell_held(
        &self,
        transaction: &DatabaseTransaction,
        bookings: &[Booking],
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        let facts: Vec<NewFact> =
            bookings.iter().map(|b| wire::fact(b, &BookingFact::Held { expires_at }, b.sequence)).collect();
        self.outbox.append(transaction, &facts).await?;
        let first = |booking: &Booking| Transition {
            entity: "booking",
            entity_id: booking.id.0,
            from: "",
            to: booking.state.name(),
            cause: "hold".to_owned(),
            actor: booking.customer_id.clone(),
            at: now.timestamp_micros(),
        };
        history::write(&self.db, transaction, &bookings.iter().map(first).collect::<Vec<_>>()).await
    }

    async fn insert_bookings(
        &self,
        transaction: &DatabaseTransaction,
        bookings: &[Booking],
        offer_version: i64,
        now: i64,
    ) -> Result<(), DbErr> {
        let sql = format!(
            "INSERT INTO bookings (id, event_id, customer_id, offer_version, state, places, total_minor, currency, attempts,
                expires_at, claims_held, captured, sequence, fence, created_at, updated_at, asked_at) VALUES {}",
            rows_of_placeholders(bookings.len(), 17, 1)
        );
        let mut values: Vec<Value> = Vec::with_capacity(bookings.len() * 17);
        for booking in bookings {
            let state = rows::StateColumns::from(&booking.state);
            values.extend([
                booking.id.into(),
                booking.event_id.into(),
                booking.customer_id.clone().into(),
                offer_version.into(),
                state.state.into(),
                i32::try_from(booking.items.len()).unwrap_or(i32::MAX).into(),
                booking.total.amount_minor().into(),
                booking.total.currency().code().into(),
                0_i32.into(),
                state.expires_at.into(),
                state.claims_held.into(),
                false.into(),
                booking.sequence.into(),
                booking.fence.into(),
                now.into(),
                now.into(),
                now.into(),
            ]);
        }
        self.db.execute(transaction, sql, values).await?;
        rows::insert_items(&self.db, transaction, bookings).await
    }
}

fn distinct(wishes: &[SeatWish]) -> bool {
    let mut seen = std::collections::HashSet::with_capacity(wishes.len());
    wishes.iter().all(|wish| seen.insert(wish.seat_id))
}

/// Cancelled and the sale window are checked on the row, not in memory.
fn on_sale(row: &EventRow, orders: &[HoldOrder], now: i64) -> Option<HoldOutcome> {
    if row.cancelled {
        return Some(HoldOutcome::NotOnSale("the event is cancelled"));
    }
    if orders.iter().any(|order| order.order.offer_version != row.offer_version) {
        return Some(HoldOutcome::OtherOffer(row.offer_version));
    }
    if now < row.sale_starts_at {
        return Some(HoldOutcome::NotOnSale("the sale has not started"));
    }
    if now >= row.sale_ends_at {
        return Some(HoldOutcome::NotOnSale("the sale is over"));
    }
    None
}
