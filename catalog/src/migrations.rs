//! Catalog's schema, forward only.

use common::tables::{ADD_LEASE_OWNERS, AppendOnly, ORDER_UNPUBLISHED};
use sea_orm_migration::prelude::{MigrationTrait, MigratorTrait};

mod m20261123_120000_create_shared;
mod m20261123_120100_create_venues_and_plans;
mod m20261123_120200_create_events;
mod m20261126_090000_add_orphan_rule;

/// All migrations, oldest first.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_120000_create_shared::Migration),
            Box::new(m20261123_120100_create_venues_and_plans::Migration),
            Box::new(m20261123_120200_create_events::Migration),
            Box::new(ADD_LEASE_OWNERS),
            Box::new(m20261126_090000_add_orphan_rule::Migration),
            Box::new(ORDER_UNPUBLISHED),
            Box::new(AppendOnly::of(&["history"])),
        ]
    }
}
