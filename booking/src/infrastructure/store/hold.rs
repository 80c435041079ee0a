//! Holds: a list of holds of one event in one transaction, set-based, with a typed outcome for each; the single hold is the
//! list of one. A list in which anything is refused is rolled back and done one by one.
//!
//! First the request ids and the (event, customer) rows are locked; what follows sees a snapshot taken after the lock.
//! Counting and locking in one statement would count what an earlier snapshot saw.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use common::failpoint::{self, Step};
use common::ids::{AreaId, EventId, SeatId};
use common::requests::{self, Claim, RequestKey};
use sea_orm::{DatabaseTransaction, DbErr};

use super::claims::{self, SeatWish};
use super::places::{self, PlacesTaken};
use super::rows::Stored;
use super::{Encode, Store};
use crate::domain::booking::{Booking, BookingState};
use crate::domain::hold::Order;

mod checks;
mod record;

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

/// Why a transaction of holds ends without any of them.
enum Stop {
    Refused(HoldOutcome),
    Db(DbErr),
}

impl From<DbErr> for Stop {
    fn from(error: DbErr) -> Self {
        Self::Db(error)
    }
}

/// What every hold of one transaction shares.
struct Batch {
    fence: i64,
    offer_version: i64,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl Store {
    /// Holds for one event, each all or nothing, and returns one outcome per order, in order.
    pub async fn hold(
        &self,
        event: EventId,
        orders: &[HoldOrder],
        answer: Encode<'_>,
    ) -> Result<Vec<HoldOutcome>, DbErr> {
        if orders.len() > 1 && seats_differ(orders) {
            match self.attempt(event, orders, answer).await {
                Ok(held) => return Ok(held),
                Err(Stop::Refused(_)) => {}
                Err(Stop::Db(error)) => return Err(error),
            }
        }
        let mut outcomes = Vec::with_capacity(orders.len());
        for order in orders.chunks(1) {
            match self.attempt(event, order, answer).await {
                Ok(held) => outcomes.extend(held),
                Err(Stop::Refused(outcome)) => outcomes.push(outcome),
                Err(Stop::Db(error)) => return Err(error),
            }
        }
        Ok(outcomes)
    }

    /// Whether a hold was answered before under this request id; claims nothing.
    pub async fn held_before(&self, key: &RequestKey) -> Result<Claim, DbErr> {
        let transaction = self.db.begin().await?;
        let claim = requests::claim(&self.db, &transaction, key).await?;
        transaction.rollback().await?;
        Ok(claim)
    }

    /// All of the holds in one transaction, or none.
    async fn attempt(
        &self,
        event: EventId,
        orders: &[HoldOrder],
        answer: Encode<'_>,
    ) -> Result<Vec<HoldOutcome>, Stop> {
        let transaction = self.db.begin().await?;
        let batch = match self.take(&transaction, event, orders).await {
            Ok(batch) => batch,
            Err(stop) => {
                // The locks go before the refusal is told.
                transaction.rollback().await?;
                return Err(stop);
            }
        };
        let bookings: Vec<Booking> = orders.iter().map(|order| booked(event, order, &batch)).collect();
        self.record(&transaction, &bookings, &batch).await?;
        let mut held = Vec::with_capacity(orders.len());
        for (order, booking) in orders.iter().zip(bookings) {
            let stored = Stored { booking, tickets: Vec::new(), refunds: Vec::new() };
            requests::answer(&self.db, &transaction, &order.key, answer(&stored)).await?;
            held.push(HoldOutcome::Held(Box::new(stored)));
        }
        failpoint::around(Step::Hold, ["hold"], transaction.commit()).await?;
        self.outbox.wake();
        Ok(held)
    }

    /// Locks, checks and claims, in the order of locks.
    async fn take(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
    ) -> Result<Batch, Stop> {
        self.claim_requests(transaction, orders).await?;
        self.lock_customers(transaction, event, orders).await?;
        let row = self.check_sale(transaction, event, orders).await?;
        self.check_limits(transaction, event, row.limit, orders).await?;

        let fence = claims::next_fence(&self.db, transaction).await?;
        let batch =
            Batch { fence, offer_version: row.offer_version, now: row.now, expires_at: row.now + self.terms.hold };
        self.claim_seats(transaction, event, orders, &batch).await?;
        self.claim_places(transaction, event, orders, &batch).await?;
        Ok(batch)
    }

    async fn claim_seats(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
        batch: &Batch,
    ) -> Result<(), Stop> {
        let expires_at = batch.expires_at.timestamp_micros();
        let mut wishes = Vec::new();
        for HoldOrder { order, .. } in orders {
            let wish = |seat_id| SeatWish { seat_id, booking_id: order.booking_id, fence: batch.fence, expires_at };
            wishes.extend(order.seats().map(wish));
        }
        let wanted = wishes.len();
        let got = claims::take_seats(&self.db, transaction, event, wishes).await?;
        if got.len() == wanted {
            return Ok(());
        }
        let got: HashSet<SeatId> = got.into_iter().collect();
        let lost = orders.iter().flat_map(|o| o.order.seats()).filter(|seat| !got.contains(seat)).collect();
        Err(Stop::Refused(HoldOutcome::SeatsTaken(lost)))
    }

    async fn claim_places(
        &self,
        transaction: &DatabaseTransaction,
        event: EventId,
        orders: &[HoldOrder],
        batch: &Batch,
    ) -> Result<(), Stop> {
        let mut wanted: BTreeMap<AreaId, Vec<PlacesTaken>> = BTreeMap::new();
        for HoldOrder { order, .. } in orders {
            for (area_id, quantity) in &order.areas {
                wanted.entry(*area_id).or_default().push(PlacesTaken {
                    area_id: *area_id,
                    booking_id: order.booking_id,
                    quantity: *quantity,
                    fence: batch.fence,
                    expires_at: batch.expires_at.timestamp_micros(),
                });
            }
        }
        for (area, wishes) in wanted {
            for wish in &wishes {
                if !places::take(&self.db, transaction, event, area, wish.quantity).await? {
                    return Err(Stop::Refused(HoldOutcome::SoldOut(area)));
                }
            }
            places::insert(&self.db, transaction, event, &wishes).await?;
        }
        Ok(())
    }
}

fn booked(event: EventId, order: &HoldOrder, batch: &Batch) -> Booking {
    let order = &order.order;
    Booking {
        id: order.booking_id,
        event_id: event,
        customer_id: order.customer_id.clone(),
        state: BookingState::Held { expires_at: batch.expires_at },
        items: order.items.clone(),
        total: order.total,
        attempts: 0,
        decline_code: None,
        sequence: 1,
        fence: batch.fence,
        created_at: batch.now,
    }
}

/// One statement cannot take a seat twice; orders that want the same one get their typed answers one by one.
fn seats_differ(orders: &[HoldOrder]) -> bool {
    let mut seen = HashSet::new();
    orders.iter().flat_map(|o| o.order.seats()).all(|seat| seen.insert(seat))
}
