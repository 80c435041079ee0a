//! The statements: rows of leases, and rows of the owners who want a share of them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, Value};

use crate::db::{Db, placeholders};

/// Owners whose rows ended this long ago are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// SQL that is true while the lease named by `name` has the epoch given by `epoch` (both parameters, like `$3`).
pub fn held_sql(name: &str, epoch: &str) -> String {
    format!("EXISTS (SELECT 1 FROM leases WHERE name = {name} AND epoch = {epoch})")
}

/// Deletes the rows of owners that ended without a word.
pub async fn clean(db: &Db) -> Result<u64, DbErr> {
    let sql = format!("DELETE FROM lease_owners WHERE expires_at < {} - $1", db.now_sql());
    db.execute(db.writer(), sql, [micros(FORGOTTEN_AFTER).into()]).await
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// One owner's hand on the tables.
pub(super) struct Rows {
    db: Db,
    owner: String,
    lasting: i64,
}

impl Rows {
    /// Rows of `owner` that last for `duration` unless renewed.
    pub(super) fn new(db: Db, owner: String, duration: Duration) -> Self {
        Self { db, owner, lasting: micros(duration) }
    }

    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// Says that this owner is there and wants its share of these kinds.
    pub(super) async fn announce(&self, kinds: impl Iterator<Item = &str>) -> Result<(), DbErr> {
        let now = self.db.now_sql();
        let mut values: Vec<Value> = vec![self.owner.clone().into(), self.lasting.into()];
        values.extend(kinds.map(Value::from));
        let rows: Vec<String> = (3..=values.len()).map(|n| format!("(${n}, $1, {now} + $2)")).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO lease_owners (kind, owner, expires_at) VALUES {}
             ON CONFLICT (kind, owner) DO UPDATE SET expires_at = excluded.expires_at",
            rows.join(", ")
        );
        self.db.execute(self.db.writer(), sql, values).await.map(drop)
    }

    /// Says that this owner wants no share any more.
    pub(super) async fn retire(&self) -> Result<(), DbErr> {
        let sql = "DELETE FROM lease_owners WHERE owner = $1";
        self.db.execute(self.db.writer(), sql, [self.owner.clone().into()]).await.map(drop)
    }

    /// The owners who want a share, by kind.
    pub(super) async fn owners(&self) -> Result<HashMap<String, Vec<String>>, DbErr> {
        let sql = format!("SELECT kind, owner FROM lease_owners WHERE expires_at > {}", self.db.now_sql());
        let mut owners: HashMap<String, Vec<String>> = HashMap::new();
        for row in self.db.query(self.db.reader(), sql, []).await? {
            owners.entry(row.try_get("", "kind")?).or_default().push(row.try_get("", "owner")?);
        }
        Ok(owners)
    }

    /// Leases that others hold. Asked before taking: an upsert that loses would lock the rows of others all the same.
    pub(super) async fn held_by_others(&self) -> Result<HashSet<String>, DbErr> {
        let sql = format!("SELECT name FROM leases WHERE owner <> $1 AND expires_at > {}", self.db.now_sql());
        let rows = self.db.query(self.db.reader(), sql, [self.owner.clone().into()]).await?;
        rows.iter().map(|row| row.try_get("", "name")).collect()
    }

    /// Renews those of `names` that are still this owner's, and returns their epochs.
    pub(super) async fn renew(&self, names: &[String]) -> Result<HashMap<String, i64>, DbErr> {
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let now = self.db.now_sql();
        let sql = format!(
            "UPDATE leases SET expires_at = {now} + $1 WHERE name IN (SELECT name FROM leases
                WHERE owner = $2 AND expires_at > {now} AND name IN ({}) ORDER BY name{})
             RETURNING name, epoch",
            placeholders(names.len(), 3),
            self.db.for_update()
        );
        let mut values: Vec<Value> = vec![self.lasting.into(), self.owner.clone().into()];
        values.extend(names.iter().map(|name| name.clone().into()));
        let rows = self.db.query(self.db.writer(), sql, values).await?;
        rows.iter().map(|row| Ok((row.try_get("", "name")?, row.try_get("", "epoch")?))).collect()
    }

    /// Takes those of `names` that are free; returns their epochs. Sorted names, so that owners who take several in one
    /// transaction cannot deadlock.
    pub(super) async fn take(&self, names: &BTreeSet<String>) -> Result<Vec<(String, i64)>, DbErr> {
        let transaction = self.db.begin().await?;
        let mut taken = Vec::new();
        for name in names {
            if let Some(epoch) = self.take_one(&transaction, name).await? {
                taken.push((name.clone(), epoch));
            }
        }
        transaction.commit().await?;
        Ok(taken)
    }

    /// Takes a lease that is free, over, or ours from before a restart; each taking has a new epoch.
    async fn take_one(&self, transaction: &impl ConnectionTrait, name: &str) -> Result<Option<i64>, DbErr> {
        let now = self.db.now_sql();
        let sql = format!(
            "INSERT INTO leases (name, owner, epoch, expires_at) VALUES ($1, $2, 1, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, epoch = leases.epoch + 1, expires_at = excluded.expires_at
             WHERE leases.expires_at <= {now} OR leases.owner = excluded.owner
             RETURNING epoch"
        );
        let rows =
            self.db.query(transaction, sql, [name.into(), self.owner.clone().into(), self.lasting.into()]).await?;
        rows.first().map(|row| row.try_get("", "epoch")).transpose()
    }

    /// Gives leases back, by name and epoch: the next owner takes them under a new one.
    pub(super) async fn release(&self, leases: &BTreeSet<(String, i64)>) -> Result<(), DbErr> {
        let transaction = self.db.begin().await?;
        for (name, epoch) in leases {
            let sql = "UPDATE leases SET expires_at = 0 WHERE name = $1 AND epoch = $2";
            self.db.execute(&transaction, sql, [name.into(), (*epoch).into()]).await?;
        }
        transaction.commit().await
    }
}
