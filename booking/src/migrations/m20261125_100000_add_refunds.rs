//! Items that are cancelled alone, fees that were kept, and history lines that are no change of state. An item of an ended
//! booking may lack `cancelled_at`: processes of the version before, which may still run, do not write it.

use common::tables;
use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261125_100000_add_refunds"
    }
}

const CHANGES: &[&str] = &[
    "ALTER TABLE booking_items ADD COLUMN cancelled_at bigint",
    // When the newest fee was kept of a cancelled item that has not gone back since.
    "ALTER TABLE bookings ADD COLUMN kept_at bigint",
    // Serves the end of a cancelled event: fees kept since go back.
    "CREATE INDEX bookings_kept ON bookings (event_id, kept_at) WHERE kept_at IS NOT NULL",
    "CREATE INDEX events_cancelled ON events (event_id) WHERE cancelled_at IS NOT NULL",
    // Serves a booking's refunds.
    "CREATE INDEX booking_refunds_booking ON booking_refunds (booking_id)",
    // The one item a line is about, and what people may want to know besides its cause: an amount, a gate.
    "ALTER TABLE history ADD COLUMN item_id uuid",
    "ALTER TABLE history ADD COLUMN detail text NOT NULL DEFAULT ''",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::run(manager, CHANGES).await
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Err(DbErr::Migration("migrations run forward only".into()))
    }
}
