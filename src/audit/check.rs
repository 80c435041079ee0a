//! Invariants, the checks they consist of, and how a check finds the rows that break it.

use std::collections::BTreeSet;
use std::pin::Pin;

use common::db::Db;
use sea_orm::{DbErr, QueryResult};
use serde::Serialize;
use uuid::Uuid;

use super::Databases;

/// Most rows one check names.
const ROWS_MAX: usize = 10_000;
/// Work of seconds that took longer than this is a fault, microseconds.
const MINUTE: &str = "60000000";
/// Waiting for an answer longer than this is a fault, microseconds.
const WAITING: &str = "300000000";
/// Facts are kept for seven days; what is younger than this was not cleaned away, seconds.
const YOUNG_SECONDS: i64 = 6 * 24 * 3600;
/// Bookings whose claims must be complete: sold, or held by time that is still running.
const LIVE: &str = "(b.state = 'CONFIRMED' OR (b.state = 'HELD' AND b.expires_at > {now})
    OR (b.state = 'PAYING' AND b.claims_held = TRUE AND b.grace_until > {now}))";

/// Whose database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Events and offers.
    Catalog,
    /// Bookings, claims, tickets.
    Booking,
    /// Payments and their ledger.
    Payment,
    /// The simulated provider.
    Provider,
}

impl Service {
    /// Its name, also its database's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Booking => "booking",
            Self::Payment => "payment",
            Self::Provider => "provider",
        }
    }
}

/// Something that must always be true.
pub(super) struct Invariant {
    /// `I1` to `I10`.
    pub id: &'static str,
    /// In one sentence.
    pub meaning: &'static str,
    /// All of them must find nothing.
    pub checks: &'static [Check],
}

impl Invariant {
    /// Tables whose rows are looked at, each once.
    pub(super) fn tables(&self) -> BTreeSet<(Service, &'static str)> {
        self.checks.iter().map(|check| (check.service, check.table)).collect()
    }
}

/// One way of breaking an invariant.
pub(super) struct Check {
    /// Whose rows are at fault.
    pub service: Service,
    /// In which table.
    pub table: &'static str,
    find: Find,
}

/// Rows found by a look into several databases.
pub(super) type Found<'a> = Pin<Box<dyn Future<Output = Result<Vec<Offender>, DbErr>> + 'a>>;

enum Find {
    /// A query whose rows are all at fault: `id` (a UUID) or `name` (text), perhaps `other` (a UUID), and `what` is
    /// wrong. `{other}` in the answer stands for that UUID; in the query `{now}`, `{minute}`, `{waiting}` and `{live}`
    /// are filled in.
    Rows(&'static str),
    /// The same, but what was cleaned away may explain older rows, so that only young ones count. Their `id` is UUIDv7.
    YoungRows(&'static str),
    /// A look into several databases.
    Across(for<'a> fn(&'a Databases) -> Found<'a>),
}

impl Check {
    /// Every row of the query is at fault.
    pub(super) const fn rows(service: Service, table: &'static str, sql: &'static str) -> Self {
        Self { service, table, find: Find::Rows(sql) }
    }

    /// Every row of the query that is young is at fault.
    pub(super) const fn young_rows(service: Service, table: &'static str, sql: &'static str) -> Self {
        Self { service, table, find: Find::YoungRows(sql) }
    }

    /// Whatever a function over several databases finds.
    pub(super) const fn across(
        service: Service,
        table: &'static str,
        find: for<'a> fn(&'a Databases) -> Found<'a>,
    ) -> Self {
        Self { service, table, find: Find::Across(find) }
    }

    /// Finds the rows at fault, at most [`ROWS_MAX`].
    pub(super) async fn find(&'static self, databases: &Databases) -> Result<Vec<Offender>, DbErr> {
        let Some(db) = databases.of(self.service) else { return Ok(Vec::new()) };
        let mut found = match self.find {
            Find::Rows(sql) => self.query(db, sql, |_| true).await?,
            Find::YoungRows(sql) => {
                let now = db.now(db.reader()).await?.timestamp();
                self.query(db, sql, |id| is_young(id, now)).await?
            }
            Find::Across(find) => find(databases).await?,
        };
        found.truncate(ROWS_MAX);
        Ok(found)
    }

    async fn query(&self, db: &Db, sql: &str, counts: impl Fn(Uuid) -> bool) -> Result<Vec<Offender>, DbErr> {
        let sql = format!("SELECT * FROM ({}) AS offenders LIMIT {ROWS_MAX}", filled_in(db, sql));
        let mut found = Vec::new();
        for row in db.query(db.reader(), sql, []).await? {
            let offender = self.read(&row)?;
            if Uuid::try_parse(&offender.id).map_or(true, &counts) {
                found.push(offender);
            }
        }
        Ok(found)
    }

    fn read(&self, row: &QueryResult) -> Result<Offender, DbErr> {
        let columns = row.column_names();
        let has = |name: &str| columns.iter().any(|column| column == name);
        let id = if has("name") { row.try_get("", "name")? } else { row.try_get::<Uuid>("", "id")?.to_string() };
        let other: Option<Uuid> = if has("other") { row.try_get("", "other")? } else { None };
        let other = other.map(|other| other.to_string()).unwrap_or_default();
        let what = row.try_get::<String>("", "what")?.replace("{other}", &other);
        Ok(Offender { service: self.service, table: self.table, id, what, other })
    }
}

/// A row that breaks an invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offender {
    /// Whose database it stands in.
    pub service: Service,
    /// In which table.
    pub table: &'static str,
    /// Its id.
    pub id: String,
    /// What is wrong with it.
    pub what: String,
    /// With `id`, what it is known by when it is read again.
    #[serde(skip)]
    other: String,
}

impl Offender {
    /// A row found by a look into several databases.
    pub(super) fn new(service: Service, table: &'static str, id: impl ToString, what: impl Into<String>) -> Self {
        Self { service, table, id: id.to_string(), what: what.into(), other: String::new() }
    }

    /// Whether it is the same row of the same table.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.table == other.table && self.id == other.id && self.other == other.other
    }
}

/// The query as this database understands it.
pub(super) fn filled_in(db: &Db, sql: &str) -> String {
    sql.replace("{live}", LIVE)
        .replace("{minute}", MINUTE)
        .replace("{waiting}", WAITING)
        .replace("{now}", &db.now_sql())
}

/// Rows of a table.
pub(super) async fn count(db: &Db, table: &str) -> Result<i64, DbErr> {
    let rows = db.query(db.reader(), format!("SELECT CAST(count(*) AS bigint) AS n FROM {table}"), []).await?;
    rows.first().ok_or_else(|| DbErr::RecordNotFound("count".into()))?.try_get("", "n")
}

/// Whether a UUIDv7 was made so lately that everything told about it is still there.
fn is_young(id: Uuid, now_seconds: i64) -> bool {
    let made = id.get_timestamp().and_then(|made| i64::try_from(made.to_unix().0).ok());
    made.is_some_and(|made| made > now_seconds - YOUNG_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_last_week_is_not_young() {
        let id = Uuid::now_v7();
        let made = i64::try_from(id.get_timestamp().unwrap().to_unix().0).unwrap();

        assert!(is_young(id, made));
        assert!(!is_young(id, made + 7 * 24 * 3600));
        assert!(!is_young(Uuid::nil(), made));
    }
}
