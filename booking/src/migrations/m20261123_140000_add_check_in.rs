//! When and where a ticket was used, and a way from a seat to its bookings. A used ticket stays `valid` in `state`: processes of
//! the version before, which may still run, go on reading and voiding it.

use common::tables;
use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261123_140000_add_check_in"
    }
}

const CHANGES: &[&str] = &[
    "ALTER TABLE tickets ADD COLUMN used_at bigint",
    "ALTER TABLE tickets ADD COLUMN used_gate text",
    // Serves the history of one seat.
    "CREATE INDEX booking_items_seat ON booking_items (seat_id) WHERE seat_id IS NOT NULL",
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
