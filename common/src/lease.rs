//! Leases: rows that say who works on what, by the database's clock. A write under a lease names its epoch, so that a
//! paused owner that wakes late touches nothing.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::{Db, placeholders};
use crate::runtime::Shutdown;

/// SQL that is true while the lease named by `name` has the epoch given by `epoch` (both parameters, like `$3`).
pub fn held_sql(name: &str, epoch: &str) -> String {
    format!("EXISTS (SELECT 1 FROM leases WHERE name = {name} AND epoch = {epoch})")
}

/// The leases one process wants and has.
pub struct Leases {
    db: Db,
    owner: String,
    duration: Duration,
    wanted: Vec<String>,
    held: Mutex<HashMap<String, i64>>,
}

impl Leases {
    /// Wants `names` for `owner`; [`Leases::keep`] gets and keeps them.
    pub fn new(db: Db, owner: String, duration: Duration, mut wanted: Vec<String>) -> Self {
        // One order for all processes, so that taking several in one transaction cannot deadlock.
        wanted.sort();
        Self { db, owner, duration, wanted, held: Mutex::default() }
    }

    /// The epoch under which a lease is held now, as far as we know.
    pub fn epoch(&self, name: &str) -> Option<i64> {
        self.held().get(name).copied()
    }

    /// Forgets a lease that a guarded write found gone.
    pub fn lost(&self, name: &str) {
        self.held().remove(name);
    }

    /// Gets and keeps the leases until shutdown, then gives them back.
    pub async fn keep(&self, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "leases could not be renewed");
                self.held().clear();
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.duration / 4) => {}
            }
        }
        if let Err(error) = self.give_back().await {
            tracing::warn!(%error, "leases could not be given back: they end by themselves");
        }
        Ok(())
    }

    /// Renews what is held and takes what is free.
    pub async fn round(&self) -> Result<(), DbErr> {
        self.renew().await?;
        self.take_free().await
    }

    async fn renew(&self) -> Result<(), DbErr> {
        let held = self.held().clone();
        if held.is_empty() {
            return Ok(());
        }
        let now = self.db.now_sql();
        let sql = format!(
            "UPDATE leases SET expires_at = {now} + $1 WHERE name IN (SELECT name FROM leases
                WHERE owner = $2 AND expires_at > {now} AND name IN ({}) ORDER BY name{})
             RETURNING name, epoch",
            placeholders(held.len(), 3),
            self.db.for_update()
        );
        let mut values = vec![self.micros().into(), self.owner.clone().into()];
        values.extend(held.keys().map(|name| name.clone().into()));
        let mut kept = HashMap::new();
        for row in self.db.query(self.db.writer(), sql, values).await? {
            kept.insert(row.try_get::<String>("", "name")?, row.try_get::<i64>("", "epoch")?);
        }
        kept.retain(|name, epoch| held.get(name) == Some(epoch));
        *self.held() = kept;
        Ok(())
    }

    async fn take_free(&self) -> Result<(), DbErr> {
        let missing: Vec<String> = self.wanted.iter().filter(|name| self.epoch(name).is_none()).cloned().collect();
        // Asked before: an upsert that loses would lock the rows of others all the same.
        let others = if missing.is_empty() { HashSet::new() } else { self.held_by_others(&missing).await? };
        let free: Vec<&String> = missing.iter().filter(|name| !others.contains(*name)).collect();
        if free.is_empty() {
            return Ok(());
        }
        let transaction = self.db.begin().await?;
        let mut taken = HashMap::new();
        for name in free {
            if let Some(epoch) = self.take(&transaction, name).await? {
                taken.insert(name.clone(), epoch);
            }
        }
        transaction.commit().await?;
        self.held().extend(taken);
        Ok(())
    }

    async fn held_by_others(&self, names: &[String]) -> Result<HashSet<String>, DbErr> {
        let sql = format!(
            "SELECT name FROM leases WHERE owner <> $1 AND expires_at > {} AND name IN ({})",
            self.db.now_sql(),
            placeholders(names.len(), 2)
        );
        let mut values: Vec<Value> = vec![self.owner.clone().into()];
        values.extend(names.iter().map(|name| name.clone().into()));
        self.db.query(self.db.reader(), sql, values).await?.iter().map(|row| row.try_get("", "name")).collect()
    }

    /// Takes a lease that is free, over, or ours from before a restart; each taking has a new epoch.
    async fn take(&self, transaction: &impl ConnectionTrait, name: &str) -> Result<Option<i64>, DbErr> {
        let now = self.db.now_sql();
        let sql = format!(
            "INSERT INTO leases (name, owner, epoch, expires_at) VALUES ($1, $2, 1, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = leases.epoch + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= {now} OR leases.owner = excluded.owner
             RETURNING epoch"
        );
        let values = [name.into(), self.owner.clone().into(), self.micros().into()];
        let rows = self.db.query(transaction, sql, values).await?;
        rows.first().map(|row| row.try_get("", "epoch")).transpose()
    }

    async fn give_back(&self) -> Result<(), DbErr> {
        let mut held: Vec<(String, i64)> = std::mem::take(&mut *self.held()).into_iter().collect();
        held.sort();
        let transaction = self.db.begin().await?;
        for (name, epoch) in held {
            let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND epoch = $2";
            self.db.execute(&transaction, sql, [name.into(), epoch.into()]).await?;
        }
        transaction.commit().await
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.held.lock().expect("no holder of this lock panics")
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.duration.as_micros()).unwrap_or(i64::MAX)
    }
}
