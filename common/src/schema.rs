//! The schema of a service's database: brought up to date by one process at a time, or found outdated.

use std::collections::HashSet;

use anyhow::{Context, ensure};
use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use crate::db::Db;
use crate::settings::{DatabaseSettings, Mode};

/// Name of PostgreSQL's lock for whoever migrates. Locks belong to one database, so one name is enough for all.
const LOCK: i64 = 0x6576_656e_7469_7801;

/// Applies what is missing, all or nothing, and tells what that was. Processes that do it at once wait for each other.
///
/// # Errors
/// A statement fails, for instance because the user may not change the schema.
pub async fn migrate<M: MigratorTrait>(db: &Db) -> Result<Vec<String>, DbErr> {
    let transaction = db.begin().await?;
    if db.backend() == DbBackend::Postgres {
        db.execute(&transaction, "SET LOCAL statement_timeout = 0", []).await?;
        db.query(&transaction, "SELECT pg_advisory_xact_lock($1)", [LOCK.into()]).await?;
    }
    let pending = pending_in::<M>(db, &SchemaManager::new(&transaction)).await?;
    if !pending.is_empty() {
        M::up(&transaction, None).await?;
    }
    transaction.commit().await?;
    Ok(pending)
}

/// Names of migrations that are not applied yet, oldest first. Changes nothing.
pub async fn pending<M: MigratorTrait>(db: &Db) -> Result<Vec<String>, DbErr> {
    pending_in::<M>(db, &SchemaManager::new(db.reader())).await
}

async fn pending_in<M: MigratorTrait>(db: &Db, manager: &SchemaManager<'_>) -> Result<Vec<String>, DbErr> {
    let table = M::migration_table_name().to_string();
    let mut applied = HashSet::new();
    if manager.has_table(&table).await? {
        let sql = format!("SELECT version FROM {table}");
        for row in db.query(manager.get_connection(), sql, []).await? {
            applied.insert(row.try_get::<String>("", "version")?);
        }
    }
    let known = M::migrations().into_iter().map(|migration| migration.name().to_owned());
    Ok(known.filter(|name| !applied.contains(name)).collect())
}

/// What a service does before it uses its database: migrates if it should, else refuses an outdated schema.
/// A newer schema is good: migrations keep what older code needs.
///
/// # Errors
/// The schema is outdated, or migrating it fails.
pub async fn prepare<M: MigratorTrait>(
    db: &Db,
    service: &str,
    settings: &DatabaseSettings,
    mode: Mode,
) -> anyhow::Result<()> {
    let pending = pending::<M>(db).await.with_context(|| format!("reading the schema of {service}"))?;
    if pending.is_empty() {
        return Ok(());
    }
    ensure!(
        settings.migrates(mode),
        "the database of {service} lacks {} migrations, from {} on: run `eventix migrate {service}`",
        pending.len(),
        pending[0]
    );
    let migrating = async {
        if settings.migration_url.is_empty() {
            return migrate::<M>(db).await;
        }
        migrate::<M>(&Db::open(&settings.for_migration()).await?).await
    };
    migrating.await.map(drop).with_context(|| format!("migrating the database of {service}"))
}
