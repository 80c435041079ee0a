//! Who wants a share of the leases: replicas divide them fairly. Processes of the version before know nothing of it and keep
//! what they hold.

use common::tables;
use sea_orm::DbErr;
use sea_orm_migration::{DeriveMigrationName, MigrationTrait, SchemaManager};

/// This migration.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::add_lease_owners(manager).await
    }
}
