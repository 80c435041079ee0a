//! The payment database's schema, forward only, alike on both databases.

use common::tables::{ADD_LEASE_OWNERS, AppendOnly, ORDER_UNPUBLISHED};
use sea_orm_migration::prelude::*;

mod m20261123_120000_create_payments;
mod m20261125_090000_add_provider_events;

/// Brings the payment database up to date.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_120000_create_payments::Migration),
            Box::new(m20261125_090000_add_provider_events::Migration),
            Box::new(ADD_LEASE_OWNERS),
            Box::new(ORDER_UNPUBLISHED),
            Box::new(AppendOnly::of(&["history", "ledger_entries"])),
        ]
    }
}
