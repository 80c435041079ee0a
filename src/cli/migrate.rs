//! `eventix migrate`: brings databases to the newest schema, for deployments whose services may not do that themselves.

use anyhow::Context;
use clap::{Args, ValueEnum};
use common::db::Db;

use super::BadSettings;
use super::databases::DatabasesArgs;
use crate::services::Service;

/// What to migrate.
#[derive(Debug, Args)]
#[command(after_help = "\
Connects with EVENTIX_<SERVICE>__DATABASE__MIGRATION_URL, or with __DATABASE__URL where that is not set. A database is
migrated as a whole or not at all; running it twice, or several times at once, does no harm.")]
pub(super) struct MigrateArgs {
    /// Whose databases
    #[arg(value_enum, default_value_t = Whose::All)]
    whose: Whose,
    #[command(flatten)]
    databases: DatabasesArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// Venues, plans, events and offers
    Catalog,
    /// Bookings, claims and tickets
    Booking,
    /// Payments, and the simulated provider's ledger
    Payment,
    /// All of them
    All,
}

pub(super) async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let wanted = |service| args.whose == service || args.whose == Whose::All;
    if wanted(Whose::Catalog) {
        migrate::<catalog::Config>(&args.databases).await?;
    }
    if wanted(Whose::Booking) {
        migrate::<booking::Config>(&args.databases).await?;
    }
    if wanted(Whose::Payment) {
        migrate::<payment::Config>(&args.databases).await?;
    }
    Ok(())
}

async fn migrate<S: Service>(args: &DatabasesArgs) -> anyhow::Result<()> {
    let service: S = args.settings().map_err(BadSettings)?;
    args.make_folder(&service)?;
    for (settings, (section, name)) in service.databases().into_iter().zip(S::DATABASES) {
        let settings = settings.for_migration();
        let what = || format!("migrating the database of {name} at {}", settings.url);
        let db = Db::open(&settings).await.with_context(what)?;
        let applied = S::migrate(section, &db).await.with_context(what)?;
        println!("{name}: {} migrations applied to {}", applied.len(), settings.url);
    }
    Ok(())
}
