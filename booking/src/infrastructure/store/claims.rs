//! Claims on seats and area places: the contended rows. Taking is one guarded statement; every later write names owner and
//! fence and must touch as many rows as the booking owns. Area places are in `places`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::db::{Db, placeholders, rows_of_placeholders};
use common::ids::{AreaId, BookingId, EventId, SeatId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Value};

use super::WriteError;
use super::places::{self, PlacesTaken};
use crate::domain::booking::{Booking, Item};

/// A claim to take: who, what, until when.
pub(super) struct SeatWish {
    pub seat_id: SeatId,
    pub booking_id: BookingId,
    pub fence: i64,
    pub expires_at: i64,
}

/// The next fence: a number that never repeats.
pub(super) async fn next_fence(db: &Db, transaction: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let sql = match db.backend() {
        DbBackend::Sqlite => "UPDATE fences SET last = last + 1 RETURNING last AS fence",
        DbBackend::Postgres | DbBackend::MySql | _ => "SELECT nextval('fences') AS fence",
    };
    let rows = db.query(transaction, sql, []).await?;
    rows.first().ok_or_else(|| DbErr::RecordNotFound("fence".into()))?.try_get("", "fence")
}

/// Inserts claims or takes lapsed ones over, in seat order, and returns the seats it got.
pub(super) async fn take_seats(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    mut wishes: Vec<SeatWish>,
) -> Result<Vec<SeatId>, DbErr> {
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    wishes.sort_by_key(|wish| wish.seat_id);
    let sql = format!(
        "INSERT INTO seat_claims (event_id, seat_id, booking_id, fence, state, expires_at) VALUES {}
         ON CONFLICT (event_id, seat_id) DO UPDATE SET booking_id = excluded.booking_id, fence = excluded.fence,
            state = excluded.state, expires_at = excluded.expires_at
         WHERE seat_claims.expires_at <= {}
         RETURNING seat_id",
        rows_of_placeholders(wishes.len(), 6, 1),
        db.now_sql()
    );
    let values: Vec<Value> = wishes
        .into_iter()
        .flat_map(|wish| {
            [
                event.into(),
                wish.seat_id.into(),
                wish.booking_id.into(),
                wish.fence.into(),
                "held".into(),
                wish.expires_at.into(),
            ]
        })
        .collect();
    db.query(transaction, sql, values).await?.iter().map(|row| row.try_get("", "seat_id")).collect()
}

/// What items stand for, in lock order.
struct Owned {
    seats: Vec<SeatId>,
    areas: BTreeMap<AreaId, u32>,
}

impl Owned {
    /// What a booking should own.
    fn by(booking: &Booking) -> Self {
        Self::of(booking.live_items())
    }

    fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        let mut owned = Self { seats: Vec::new(), areas: BTreeMap::new() };
        for item in items {
            owned.seats.extend(item.seat_id);
            if let Some(area) = item.area_id {
                *owned.areas.entry(area).or_default() += 1;
            }
        }
        owned.seats.sort();
        owned
    }
}

/// Locks a booking's claim rows in key order; true when it owns all of them under its fence.
pub(super) async fn lock_owned(db: &Db, transaction: &DatabaseTransaction, booking: &Booking) -> Result<bool, DbErr> {
    let owned = Owned::by(booking);
    let lock = db.for_update();
    let key = [booking.id.into(), booking.fence.into()];
    let sql = format!("SELECT seat_id FROM seat_claims WHERE booking_id = $1 AND fence = $2 ORDER BY seat_id{lock}");
    let seats = db.query(transaction, sql, key.clone()).await?.len();
    for area in owned.areas.keys() {
        places::lock_counter(db, transaction, booking.event_id, *area).await?;
    }
    let sql = format!("SELECT area_id FROM area_claims WHERE booking_id = $1 AND fence = $2 ORDER BY area_id{lock}");
    let areas = db.query(transaction, sql, key).await?.len();
    Ok(seats == owned.seats.len() && areas == owned.areas.len())
}

/// Moves a booking's claims to a new fence, and to another end or to sold (`None`).
pub(super) async fn move_all(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    until: Option<DateTime<Utc>>,
) -> Result<i64, WriteError> {
    if !lock_owned(db, transaction, booking).await? {
        return Err(WriteError::ClaimsLost(booking.id));
    }
    let fence = next_fence(db, transaction).await?;
    let owned = Owned::by(booking);
    let state = if until.is_some() { "held" } else { "sold" };
    for (table, expected) in [("seat_claims", owned.seats.len()), ("area_claims", owned.areas.len())] {
        let sql =
            format!("UPDATE {table} SET fence = $1, state = $2, expires_at = $3 WHERE booking_id = $4 AND fence = $5");
        let values = [
            fence.into(),
            state.into(),
            until.map(|at| at.timestamp_micros()).into(),
            booking.id.into(),
            booking.fence.into(),
        ];
        if db.execute(transaction, sql, values).await? != expected as u64 {
            return Err(WriteError::ClaimsLost(booking.id));
        }
    }
    Ok(fence)
}

/// Deletes the claims on some of a booking's items and counts their places back. `complete` demands that it owns all it
/// booked: a lapsed booking may have lost some.
pub(super) async fn give_back(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    items: &[&Item],
    complete: bool,
) -> Result<(), WriteError> {
    if !lock_owned(db, transaction, booking).await? && complete {
        return Err(WriteError::ClaimsLost(booking.id));
    }
    let (freed, owned) = (Owned::of(items.iter().copied()), Owned::by(booking));
    if !freed.seats.is_empty() {
        let sql = format!(
            "DELETE FROM seat_claims WHERE booking_id = $1 AND fence = $2 AND seat_id IN ({})",
            placeholders(freed.seats.len(), 3)
        );
        let mut values: Vec<Value> = vec![booking.id.into(), booking.fence.into()];
        values.extend(freed.seats.iter().map(|seat| Value::from(*seat)));
        let deleted = db.execute(transaction, sql, values).await?;
        if complete && deleted != freed.seats.len() as u64 {
            return Err(WriteError::ClaimsLost(booking.id));
        }
    }
    for (area, quantity) in freed.areas {
        if owned.areas.get(&area) == Some(&quantity) {
            places::give_back(db, transaction, booking, area).await?;
        } else {
            places::give_some_back(db, transaction, booking, area, quantity).await?;
        }
    }
    Ok(())
}

/// Takes all of a lapsed booking's seats and places again under a new fence; false when any is another's. What lapsed but was
/// taken by nobody is taken over like any other lapsed claim, so that seats are locked in one pass, in order, before areas.
pub(super) async fn retake(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    fence: i64,
    until: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let owned = Owned::by(booking);
    let expires_at = until.timestamp_micros();
    let wish = |seat_id: &SeatId| SeatWish { seat_id: *seat_id, booking_id: booking.id, fence, expires_at };
    let got = take_seats(db, transaction, booking.event_id, owned.seats.iter().map(wish).collect()).await?;
    if got.len() != owned.seats.len() {
        return Ok(false);
    }
    let mut taken = Vec::new();
    for (area_id, quantity) in owned.areas {
        places::give_back(db, transaction, booking, area_id).await?;
        if !places::take(db, transaction, booking.event_id, area_id, quantity).await? {
            return Ok(false);
        }
        taken.push(PlacesTaken { area_id, booking_id: booking.id, quantity, fence, expires_at });
    }
    places::insert(db, transaction, booking.event_id, &taken).await?;
    Ok(true)
}
