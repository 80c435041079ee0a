//! Whether picking seats of an event by hand must not leave a single seat alone. Processes of the version before do not write
//! it, so it has a default.

use sea_orm_migration::prelude::{DbErr, DeriveMigrationName, MigrationTrait, SchemaManager, async_trait};

/// This migration.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change = "ALTER TABLE events ADD COLUMN forbid_orphan_seats boolean NOT NULL DEFAULT FALSE";
        common::tables::run(manager, &[change]).await
    }
}
