//! Leases: rows that say who works on what, by the database's clock. A write under a lease names its epoch, so that a
//! paused owner that wakes late touches nothing.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use sea_orm::DbErr;

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
    pub fn new(db: Db, owner: String, duration: Duration, wanted: Vec<String>) -> Self {
        Self { db, owner, duration, wanted, held: Mutex::default() }
    }

    /// The epoch under which a lease is held now, as far as we know.
    pub fn epoch(&self, name: &str) -> Option<i64> {
        self.held.lock().expect("no holder of this lock panics").get(name).copied()
    }

    /// Forgets a lease that a guarded write found gone.
    pub fn lost(&self, name: &str) {
        self.held.lock().expect("no holder of this lock panics").remove(name);
    }

    /// Gets and keeps the leases until shutdown, then gives them back.
    pub async fn keep(&self, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "leases could not be renewed");
                self.held.lock().expect("no holder of this lock panics").clear();
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.duration / 4) => {}
            }
        }
        self.give_back().await?;
        Ok(())
    }

    /// Renews what is held and takes what is free.
    pub async fn round(&self) -> Result<(), DbErr> {
        self.renew().await?;
        for name in &self.wanted {
            if self.epoch(name).is_none()
                && let Some(epoch) = self.take(name).await?
            {
                self.held.lock().expect("no holder of this lock panics").insert(name.clone(), epoch);
            }
        }
        Ok(())
    }

    async fn renew(&self) -> Result<(), DbErr> {
        let held = self.held.lock().expect("no holder of this lock panics").clone();
        if held.is_empty() {
            return Ok(());
        }
        let now = self.db.now_sql();
        let sql = format!(
            "UPDATE leases SET expires_at = {now} + $1 WHERE owner = $2 AND expires_at > {now} AND name IN ({}) RETURNING name, epoch",
            placeholders(held.len(), 3)
        );
        let mut values = vec![self.micros().into(), self.owner.clone().into()];
        values.extend(held.keys().map(|name| name.clone().into()));
        let mut kept = HashMap::new();
        for row in self.db.query(self.db.writer(), sql, values).await? {
            kept.insert(row.try_get::<String>("", "name")?, row.try_get::<i64>("", "epoch")?);
        }
        kept.retain(|name, epoch| held.get(name) == Some(epoch));
        *self.held.lock().expect("no holder of this lock panics") = kept;
        Ok(())
    }

    /// Takes a lease that is free, over, or ours from before a restart; each taking has a new epoch.
    async fn take(&self, name: &str) -> Result<Option<i64>, DbErr> {
        let now = self.db.now_sql();
        let sql = format!(
            "INSERT INTO leases (name, owner, epoch, expires_at) VALUES ($1, $2, 1, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = leases.epoch + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= {now} OR leases.owner = excluded.owner
             RETURNING epoch"
        );
        let values = [name.into(), self.owner.clone().into(), self.micros().into()];
        let rows = self.db.query(self.db.writer(), sql, values).await?;
        rows.first().map(|row| row.try_get("", "epoch")).transpose()
    }

    async fn give_back(&self) -> Result<(), DbErr> {
        let held = std::mem::take(&mut *self.held.lock().expect("no holder of this lock panics"));
        for (name, epoch) in held {
            let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND epoch = $2";
            self.db.execute(self.db.writer(), sql, [name.into(), epoch.into()]).await?;
        }
        Ok(())
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.duration.as_micros()).unwrap_or(i64::MAX)
    }
}
