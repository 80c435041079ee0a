//! Writes of venues and plans. Seats go in by the hundred: a stadium is stored within a second.

use common::db::{Db, rows_of_placeholders};
use common::ids::{SeatId, SeatingPlanId, VenueId};
use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::domain::plan::Plan;
use crate::domain::venue::Venue;

/// Rows of one insert. SQLite looks parameters up by name, one after another: 500 rows take four times as long as 50.
const BATCH: usize = 50;
/// Bytes of one stored piece of a file; an export sends piece by piece.
const FILE_PART_BYTES: usize = 256 * 1024;

/// Inserts a venue; `false` when its name is taken.
pub async fn add_venue(db: &Db, connection: &impl ConnectionTrait, venue: &Venue) -> Result<bool, DbErr> {
    let now = db.now(connection).await?.timestamp_micros();
    let sql =
        "INSERT INTO venues (id, name, address, city, city_key, country, time_zone, latitude, longitude, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO NOTHING";
    let values = [
        venue.id.into(),
        venue.name.clone().into(),
        venue.address.clone().into(),
        venue.city.clone().into(),
        venue.city.to_lowercase().into(),
        venue.country.clone().into(),
        venue.time_zone.clone().into(),
        venue.latitude.into(),
        venue.longitude.into(),
        now.into(),
    ];
    Ok(db.execute(connection, sql, values).await? == 1)
}

/// Inserts a plan as the next version of its name; the caller holds the venue's lock.
pub async fn add_plan(
    db: &Db,
    txn: &impl ConnectionTrait,
    venue_id: VenueId,
    plan_id: SeatingPlanId,
    plan: &Plan,
    file: &[u8],
) -> Result<(), DbErr> {
    let now = db.now(txn).await?.timestamp_micros();
    let places: i64 = plan.areas.iter().map(|area| i64::from(area.capacity)).sum();
    let sql = "INSERT INTO seating_plans (id, venue_id, name, version, seat_count, place_count, created_at)
        VALUES ($1, $2, $3,
            (SELECT coalesce(max(version), 0) + 1 FROM seating_plans WHERE venue_id = $2 AND name = $3), $4, $5, $6)";
    let values = [
        plan_id.into(),
        venue_id.into(),
        plan.name.clone().into(),
        plan.seat_count.cast_signed().into(),
        places.into(),
        now.into(),
    ];
    db.execute(txn, sql, values).await?;

    let mut parts = Batch::new(db, txn, "plan_files (plan_id, part, bytes)", 1);
    for (part, bytes) in (0_i32..).zip(file.chunks(FILE_PART_BYTES)) {
        parts.add([plan_id.into(), part.into(), bytes.to_vec().into()]).await?;
    }
    parts.finish().await?;

    let mut categories = Batch::new(db, txn, "plan_categories (plan_id, ordinal, name, seat_count)", BATCH);
    for (ordinal, category) in (0_i32..).zip(&plan.categories) {
        let seat_count = category.seat_count.cast_signed();
        categories.add([plan_id.into(), ordinal.into(), category.name.clone().into(), seat_count.into()]).await?;
    }
    categories.finish().await?;

    let mut areas = Batch::new(db, txn, "areas (plan_id, ordinal, id, name, capacity)", BATCH);
    for (ordinal, area) in (0_i32..).zip(&plan.areas) {
        let capacity = area.capacity.cast_signed();
        areas.add([plan_id.into(), ordinal.into(), area.id.into(), area.name.clone().into(), capacity.into()]).await?;
    }
    areas.finish().await?;
    add_rows(db, txn, plan_id, plan).await?;
    add_seats(db, txn, plan_id, plan).await
}

async fn add_rows(db: &Db, txn: &impl ConnectionTrait, plan_id: SeatingPlanId, plan: &Plan) -> Result<(), DbErr> {
    let mut rows = Batch::new(db, txn, "plan_rows (plan_id, ordinal, zone_index, zone, name, seat_count)", BATCH);
    for (ordinal, row) in (0_i32..).zip(&plan.rows) {
        rows.add([
            plan_id.into(),
            ordinal.into(),
            row.zone_index.cast_signed().into(),
            row.zone.clone().into(),
            row.name.clone().into(),
            count(row.seats.len()).into(),
        ])
        .await?;
    }
    rows.finish().await
}

/// Every seat gets an id of its own here, in plan order, whatever its `seat_guid` says.
async fn add_seats(db: &Db, txn: &impl ConnectionTrait, plan_id: SeatingPlanId, plan: &Plan) -> Result<(), DbErr> {
    let table = "seats (plan_id, ordinal, id, number, label, x, y, category, accessible, companion)";
    let mut seats = Batch::new(db, txn, table, BATCH);
    for (ordinal, seat) in (0_i32..).zip(plan.rows.iter().flat_map(|row| &row.seats)) {
        seats
            .add([
                plan_id.into(),
                ordinal.into(),
                SeatId::new().into(),
                seat.number.clone().into(),
                seat.label.clone().into(),
                seat.x.into(),
                seat.y.into(),
                count(seat.category).into(),
                seat.accessible.into(),
                false.into(), // the format knows no companion seats
            ])
            .await?;
    }
    seats.finish().await
}

fn count(n: usize) -> i32 {
    i32::try_from(n).expect("bounded by the limits of a plan")
}

/// Collects rows and inserts them many at a time.
struct Batch<'a, C> {
    db: &'a Db,
    txn: &'a C,
    table: &'static str,
    size: usize,
    rows: usize,
    values: Vec<Value>,
    /// The statement of a full batch, made once.
    full: String,
}

impl<'a, C: ConnectionTrait> Batch<'a, C> {
    fn new(db: &'a Db, txn: &'a C, table: &'static str, size: usize) -> Self {
        Self { db, txn, table, size, rows: 0, values: Vec::new(), full: String::new() }
    }

    async fn add<const N: usize>(&mut self, row: [Value; N]) -> Result<(), DbErr> {
        self.values.extend(row);
        self.rows += 1;
        if self.rows < self.size {
            return Ok(());
        }
        if self.full.is_empty() {
            self.full = self.sql();
        }
        let values = std::mem::take(&mut self.values);
        self.rows = 0;
        self.db.execute(self.txn, self.full.clone(), values).await?;
        Ok(())
    }

    async fn finish(self) -> Result<(), DbErr> {
        if self.rows > 0 {
            let sql = self.sql();
            self.db.execute(self.txn, sql, self.values).await?;
        }
        Ok(())
    }

    fn sql(&self) -> String {
        let columns = self.values.len() / self.rows;
        format!("INSERT INTO {} VALUES {}", self.table, rows_of_placeholders(self.rows, columns, 1))
    }
}
