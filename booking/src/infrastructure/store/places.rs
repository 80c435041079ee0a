//! Area places: a guarded counter per area, and per-booking claim rows, so that a release returns exactly what was taken,
//! once. Whoever touches an area's claims has locked its counter before.

use common::db::{Db, rows_of_placeholders};
use common::ids::{AreaId, BookingId, EventId};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, Value};

use super::WriteError;
use crate::domain::booking::Booking;

/// Lapsed claim rows of one area deleted at once when its counter refuses.
const LAPSED_MAX: u32 = 200;

/// Places of one area just counted for a booking.
pub(super) struct PlacesTaken {
    pub area_id: AreaId,
    pub booking_id: BookingId,
    pub quantity: u32,
    pub fence: i64,
    pub expires_at: i64,
}

/// Counts places of one area, making room by deleting lapsed claims when the counter refuses; false when sold out.
pub(super) async fn take(
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

/// Writes the claim rows for places just counted.
pub(super) async fn insert(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    taken: &[PlacesTaken],
) -> Result<(), DbErr> {
    if taken.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO area_claims (event_id, area_id, booking_id, quantity, fence, state, expires_at) VALUES {}",
        rows_of_placeholders(taken.len(), 7, 1)
    );
    let row = |places: &PlacesTaken| -> [Value; 7] {
        [
            event.into(),
            places.area_id.into(),
            places.booking_id.into(),
            places.quantity.cast_signed().into(),
            places.fence.into(),
            "held".into(),
            places.expires_at.into(),
        ]
    };
    db.execute(transaction, sql, taken.iter().flat_map(row).collect::<Vec<_>>()).await?;
    Ok(())
}

/// Deletes what a booking still has of one area and counts it back; nothing when others took it over.
pub(super) async fn give_back(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    area: AreaId,
) -> Result<(), DbErr> {
    lock_counter(db, transaction, booking.event_id, area).await?;
    let sql = "DELETE FROM area_claims WHERE event_id = $1 AND area_id = $2 AND booking_id = $3 AND fence = $4
        RETURNING quantity";
    let key = [booking.event_id.into(), area.into(), booking.id.into(), booking.fence.into()];
    let rows = db.query(transaction, sql, key).await?;
    count_down(db, transaction, booking.event_id, area, places_of(&rows)?).await
}

/// Counts some of a sold booking's places of one area back; it keeps the others.
pub(super) async fn give_some_back(
    db: &Db,
    transaction: &DatabaseTransaction,
    booking: &Booking,
    area: AreaId,
    quantity: u32,
) -> Result<(), WriteError> {
    lock_counter(db, transaction, booking.event_id, area).await?;
    let sql = "UPDATE area_claims SET quantity = quantity - $1
        WHERE event_id = $2 AND area_id = $3 AND booking_id = $4 AND fence = $5 AND quantity > $1";
    let values =
        [quantity.cast_signed().into(), booking.event_id.into(), area.into(), booking.id.into(), booking.fence.into()];
    if db.execute(transaction, sql, values).await? != 1 {
        return Err(WriteError::ClaimsLost(booking.id));
    }
    Ok(count_down(db, transaction, booking.event_id, area, quantity.into()).await?)
}

/// Locks an area's counter: first of an area's rows, everywhere.
pub(super) async fn lock_counter(
    db: &Db,
    transaction: &impl ConnectionTrait,
    event: EventId,
    area: AreaId,
) -> Result<(), DbErr> {
    let sql = format!("SELECT taken FROM area_counters WHERE event_id = $1 AND area_id = $2{}", db.for_update());
    db.query(transaction, sql, [event.into(), area.into()]).await?;
    Ok(())
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
/// so its row is locked first; the next statement then sees every claim written under it. Materialised, because PostgreSQL may
/// run a plain subquery once per row and so delete more than the bound.
async fn drop_lapsed(db: &Db, transaction: &impl ConnectionTrait, event: EventId, area: AreaId) -> Result<i64, DbErr> {
    lock_counter(db, transaction, event, area).await?;
    let sql = format!(
        "WITH lapsed AS MATERIALIZED (
            SELECT booking_id FROM area_claims WHERE event_id = $1 AND area_id = $2 AND expires_at <= {}
            ORDER BY booking_id LIMIT {LAPSED_MAX}{})
         DELETE FROM area_claims WHERE event_id = $1 AND area_id = $2 AND booking_id IN (SELECT booking_id FROM lapsed)
         RETURNING quantity",
        db.now_sql(),
        db.for_update()
    );
    let rows = db.query(transaction, sql, [event.into(), area.into()]).await?;
    let places = places_of(&rows)?;
    count_down(db, transaction, event, area, places).await?;
    Ok(places)
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

fn places_of(rows: &[QueryResult]) -> Result<i64, DbErr> {
    let quantity = |row: &QueryResult| Ok(i64::from(row.try_get::<i32>("", "quantity")?));
    rows.iter().map(quantity).sum()
}
