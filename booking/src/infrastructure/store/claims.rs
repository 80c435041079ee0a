//! Claims on seats and area places: the contended rows. Taking is one guarded statement; every later write names owner and
//! fence and must touch as many rows as the booking owns.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use common::db::{Db, rows_of_placeholders};
use common::ids::{AreaId, BookingId, EventId, SeatId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Value};

use crate::domain::booking::Booking;

/// Lapsed claim rows of one area deleted at once when its counter refuses.
const LAPSED_MAX: u32 = 200;

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

/// Takes places of one area, making room by deleting lapsed claims when the counter refuses; false when sold out.
pub(super) async fn take_places(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    area: AreaId,
    quantity: u32,
) -> Result<bool, DbErr> {
    if count_up(db, transaction, event, area, quantity).await? {
        return Ok(true);
    }
    if drop_lapsed(db, transaction, event, area).await? == 0 {
        return Ok(false);
    }
    count_up(db, transaction, event, area, quantity).await
}

async fn count_up(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    area: AreaId,
    quantity: u32,
) -> Result<bool, DbErr> {
    let sql =
        "UPDATE area_counters SET taken = taken + $1 WHERE event_id = $2 AND area_id = $3 AND taken + $1 <= capacity";
    Ok(db.execute(transaction, sql, [quantity.cast_signed().into(), event.into(), area.into()]).await? == 1)
}

/// Deletes an area's lapsed claims in key order and gives back exactly what they held. The refusing counter locked nothing,
/// so its row is locked first, as everywhere areas are written: counter, then claims.
async fn drop_lapsed(db: &Db, transaction: &impl ConnectionTrait, event: EventId, area: AreaId) -> Result<i64, DbErr> {
    lock_counter(db, transaction, event, area).await?;
    let sql = format!(
        "DELETE FROM area_claims WHERE event_id = $1 AND area_id = $2 AND booking_id IN (
            SELECT booking_id FROM area_claims WHERE event_id = $1 AND area_id = $2 AND expires_at <= {}
            ORDER BY booking_id LIMIT {LAPSED_MAX}{})
         RETURNING quantity",
        db.now_sql(),
        db.for_update()
    );
    let rows = db.query(transaction, sql, [event.into(), area.into()]).await?;
    let mut places = 0_i64;
    for row in &rows {
        places += i64::from(row.try_get::<i32>("", "quantity")?);
    }
    count_down(db, transaction, event, area, places).await?;
    Ok(places)
}

async fn lock_counter(db: &Db, transaction: &impl ConnectionTrait, event: EventId, area: AreaId) -> Result<(), DbErr> {
    let sql = format!("SELECT taken FROM area_counters WHERE event_id = $1 AND area_id = $2{}", db.for_update());
    db.query(transaction, sql, [event.into(), area.into()]).await?;
    Ok(())
}

async fn count_down(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    area: AreaId,
    places: i64,
) -> Result<(), DbErr> {
    if places == 0 {
        return Ok(());
    }
    let sql = "UPDATE area_counters SET taken = taken - CAST($1 AS integer) WHERE event_id = $2 AND area_id = $3";
    let touched = db.execute(transaction, sql, [places.into(), event.into(), area.into()]).await?;
    if touched == 1 { Ok(()) } else { Err(DbErr::Custom(format!("area {area} of event {event} has no counter"))) }
}

/// Writes the claim rows for places just counted.
pub(super) async fn insert_places(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    rows: &[(AreaId, BookingId, u32, i64, i64)],
) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO area_claims (event_id, area_id, booking_id, quantity, fence, state, expires_at) VALUES {}",
        rows_of_placeholders(rows.len(), 7, 1)
    );
    let values: Vec<Value> = rows
        .iter()
        .flat_map(|(area, booking, quantity, fence, expires_at)| {
            [
                event.into(),
                (*area).into(),
                (*booking).into(),
                quantity.cast_signed().into(),
                (*fence).into(),
                "held".into(),
                (*expires_at).into(),
            ]
        })
        .collect();
    db.execute(transaction, sql, values).await?;
    Ok(())
}

/// What a booking should own.
pub(super) struct Owned {
    seats: Vec<SeatId>,
    areas: BTreeMap<AreaId, u32>,
}

impl Owned {
    pub(super) fn of(booking: &Booking) -> Self {
        let mut owned = Self { seats: Vec::new(), areas: BTreeMap::new() };
        for item in &booking.items {
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
    let owned = Owned::of(booking);
    let lock = db.for_update();
    let key = [booking.id.into(), booking.fence.into()];
    let sql = format!("SELECT seat_id FROM seat_claims WHERE booking_id = $1 AND fence = $2 ORDER BY seat_id{lock}");
    let seats = db.query(transaction, sql, key.clone()).await?.len();
    for area in owned.areas.keys() {
        lock_counter(db, transaction, booking.event_id, *area).await?;
    }
    let sql = format!("SELECT area_id FROM area_claims WHERE booking_id = $1 AND fence = $2 ORDER BY area_id{lock}");
    let areas = db.query(transaction, sql, key).await?.len();
    Ok(seats == owned.seats.len() && areas == owned.areas.len())
}

/// Moves a booking's claims to a new fence, and to another end or to sold (`None`). Call [`lock_owned`] first.
pub(super) async fn move_all(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    fence: i64,
    until: Option<DateTime<Utc>>,
) -> Result<(), DbErr> {
    let owned = Owned::of(booking);
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
        let touched = db.execute(transaction, sql, values).await?;
        if touched != expected as u64 {
            return Err(claims_lost(booking, table, touched, expected));
        }
    }
    Ok(())
}

/// Deletes a booking's claims and counts its places back. `all` demands every one of them: a lapsed booking may have lost some.
pub(super) async fn give_back(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    all: bool,
) -> Result<(), DbErr> {
    let complete = lock_owned(db, transaction, booking).await?;
    if all && !complete {
        return Err(claims_lost(booking, "claims", 0, Owned::of(booking).seats.len()));
    }
    let key = [booking.id.into(), booking.fence.into()];
    db.execute(transaction, "DELETE FROM seat_claims WHERE booking_id = $1 AND fence = $2", key.clone()).await?;
    let sql = "DELETE FROM area_claims WHERE booking_id = $1 AND fence = $2 RETURNING area_id, quantity";
    let mut places: BTreeMap<AreaId, i64> = BTreeMap::new();
    for row in db.query(transaction, sql, key).await? {
        *places.entry(row.try_get("", "area_id")?).or_default() += i64::from(row.try_get::<i32>("", "quantity")?);
    }
    for (area, places) in places {
        count_down(db, transaction, booking.event_id, area, places).await?;
    }
    Ok(())
}

/// Takes all of a booking's seats and places again under a new fence; false when any is another's.
pub(super) async fn retake(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    fence: i64,
    until: DateTime<Utc>,
) -> Result<bool, DbErr> {
    // What lapsed but is still ours would refuse us: it goes back first.
    give_back(db, transaction, booking, false).await?;
    let owned = Owned::of(booking);
    let expires_at = until.timestamp_micros();
    let wish = |seat_id: &SeatId| SeatWish { seat_id: *seat_id, booking_id: booking.id, fence, expires_at };
    let got = take_seats(db, transaction, booking.event_id, owned.seats.iter().map(wish).collect()).await?;
    if got.len() != owned.seats.len() {
        return Ok(false);
    }
    let mut rows = Vec::new();
    for (area, quantity) in owned.areas {
        if !take_places(db, transaction, booking.event_id, area, quantity).await? {
            return Ok(false);
        }
        rows.push((area, booking.id, quantity, fence, expires_at));
    }
    insert_places(db, transaction, booking.event_id, &rows).await?;
    Ok(true)
}

fn claims_lost(booking: &Booking, table: &str, touched: u64, expected: usize) -> DbErr {
    DbErr::Custom(format!(
        "booking {} owns {touched} of {expected} rows in {table} under fence {}",
        booking.id, booking.fence
    ))
}
