//! An event's bookings in the order of its list.

use common::tables;
use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261126_100000_add_event_list"
    }
}

const CHANGES: &[&str] = &[
    // Serves an event's list in all states; `bookings_event` that in one, and the end of a cancelled event.
    "CREATE INDEX bookings_event_list ON bookings (event_id, id)",
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
