//! Booking's tables, forward only. Columns that end in `_at` or `_until` are microseconds since 1970, UTC.

use common::tables::{ADD_LEASE_OWNERS, AppendOnly, ORDER_UNPUBLISHED};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

mod m20261123_120000_create_booking;
mod m20261123_140000_add_check_in;
mod m20261125_100000_add_refunds;
mod m20261126_100000_add_event_list;

/// Runs the migrations in order.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_120000_create_booking::Migration),
            Box::new(m20261123_140000_add_check_in::Migration),
            Box::new(m20261125_100000_add_refunds::Migration),
            Box::new(ADD_LEASE_OWNERS),
            Box::new(m20261126_100000_add_event_list::Migration),
            Box::new(ORDER_UNPUBLISHED),
            Box::new(AppendOnly::of(&["history"])),
        ]
    }
}
