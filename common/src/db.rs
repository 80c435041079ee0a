//! SQLite or PostgreSQL behind one face. Where the two differ, the difference is one named function here.
//!
//! Every store keeps instants as microseconds since 1970 (`bigint`), so that both databases compare them alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::sqlite::{SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, Value,
};

mod trouble;

use crate::clock::from_micros;
use crate::settings::DatabaseSettings;

/// Readers of one SQLite file; SQLite has one writer anyway.
const SQLITE_READERS: u32 = 4;
/// How long a writer waits for another process's write lock.
const SQLITE_BUSY: Duration = Duration::from_secs(10);

/// A service's database: cheap to clone.
#[derive(Clone)]
pub struct Db {
    write: DatabaseConnection,
    read: DatabaseConnection,
    offset_micros: Arc<AtomicI64>,
}

impl Db {
    /// Connects to `sqlite:///path/to/file.db?mode=rwc` or `postgres://…`, otherwise with default settings.
    pub async fn connect(url: &str, connections: u32) -> Result<Self, DbErr> {
        Self::open(&DatabaseSettings { connections, ..DatabaseSettings::at(url) }).await
    }

    /// Connects as the settings say.
    pub async fn open(settings: &DatabaseSettings) -> Result<Self, DbErr> {
        let (write, read) = if settings.url.is_sqlite() {
            (sqlite(settings, 1).await?, sqlite(settings, SQLITE_READERS).await?)
        } else {
            let pool = postgres(settings).await?;
            (pool.clone(), pool)
        };
        Ok(Self { write, read, offset_micros: Arc::default() })
    }

    /// Begins a transaction that may write. SQLite takes its write lock at once: a later upgrade could fail.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// Asks the database for nothing but an answer.
    ///
    /// # Errors
    /// It cannot be reached, or has no connection to spare.
    pub async fn ping(&self) -> Result<(), DbErr> {
        self.read.execute_unprepared("SELECT 1").await.map(drop)
    }

    /// For single writes.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.write
    }

    /// For reads outside transactions.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.read
    }

    /// Hands every statement to a test that wants to see what is asked; later clones do so too.
    #[cfg(feature = "testing")]
    pub fn on_statement(&mut self, seen: impl Fn(&Statement) + Clone + Send + Sync + 'static) {
        let also_seen = seen.clone();
        self.write.set_metric_callback(move |info| seen(info.statement));
        self.read.set_metric_callback(move |info| also_seen(info.statement));
    }

    /// Which database this is.
    pub fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }

    /// A statement with `$1`-style parameters, which both databases understand.
    pub fn statement(&self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.backend(), sql, values)
    }

    /// SQL for the database's current time in microseconds, plus the offset that tests move.
    /// PostgreSQL's statement time, because a statement that waited for a lock must not see the time before the wait.
    pub fn now_sql(&self) -> String {
        let offset = self.offset_micros.load(Ordering::SeqCst);
        match self.backend() {
            DbBackend::Sqlite => format!("(CAST(unixepoch('subsec') * 1000000 AS INTEGER) + {offset})"),
            DbBackend::Postgres | DbBackend::MySql | _ => {
                format!("((extract(epoch from statement_timestamp()) * 1000000)::bigint + {offset})")
            }
        }
    }

    /// The database's current time, read inside `connection`.
    pub async fn now(&self, connection: &impl ConnectionTrait) -> Result<DateTime<Utc>, DbErr> {
        let row = connection.query_one_raw(self.statement(format!("SELECT {} AS now", self.now_sql()), [])).await?;
        Ok(from_micros(row.ok_or_else(|| DbErr::RecordNotFound("now".into()))?.try_get("", "now")?))
    }

    /// Moves the database's time in tests; zero otherwise.
    pub fn shift_time(&self, by: chrono::Duration) {
        self.offset_micros.fetch_add(by.num_microseconds().unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// ` FOR UPDATE` where rows can be locked; nothing on SQLite, whose one writer holds everything.
    pub fn for_update(&self) -> &'static str {
        match self.backend() {
            DbBackend::Sqlite => "",
            DbBackend::Postgres | DbBackend::MySql | _ => " FOR UPDATE",
        }
    }

    /// Runs a statement on `connection` and returns the number of rows it touched.
    pub async fn execute(
        &self,
        connection: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DbErr> {
        Ok(connection.execute_raw(self.statement(sql, values)).await?.rows_affected())
    }

    /// Runs a query on `connection`.
    pub async fn query(
        &self,
        connection: &impl ConnectionTrait,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<QueryResult>, DbErr> {
        connection.query_all_raw(self.statement(sql, values)).await
    }
}

async fn postgres(settings: &DatabaseSettings) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(settings.url.expose());
    let limit = format!("{}ms", settings.statement_timeout.as_millis());
    options
        .max_connections(settings.connections)
        .acquire_timeout(settings.acquire_timeout)
        .sqlx_logging(false)
        // The second bound is for a process that is frozen inside a transaction: its locks would stop everybody.
        .map_sqlx_postgres_opts(move |options| {
            options.options([("statement_timeout", &limit), ("idle_in_transaction_session_timeout", &limit)])
        });
    Database::connect(options).await
}

async fn sqlite(settings: &DatabaseSettings, connections: u32) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(settings.url.expose());
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(settings.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|options| {
            options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(SQLITE_BUSY)
                .foreign_keys(true)
        })
        .map_sqlx_sqlite_pool_opts(|options| options.after_release(|used, _| Box::pin(is_between_transactions(used))));
    Database::connect(options).await
}

/// Whether a connection may be used again. SQLite ends a transaction by itself when the disk is full; the driver's ROLLBACK
/// then fails, and from there on it takes each transaction for a part of that one, whose COMMIT never comes.
async fn is_between_transactions(used: &mut SqliteConnection) -> Result<bool, sea_orm::sqlx::Error> {
    // Whoever dropped a transaction only asked for its ROLLBACK: this waits for it.
    used.ping().await?;
    Ok(!used.is_in_transaction())
}

/// `($1, $2), ($3, $4)`: placeholders of `rows` rows of `columns` columns, the first numbered `first`.
pub fn rows_of_placeholders(rows: usize, columns: usize, first: usize) -> String {
    let row = |r: usize| placeholders(columns, first + r * columns);
    (0..rows).map(|r| format!("({})", row(r))).collect::<Vec<_>>().join(", ")
}

/// `$3, $4, $5`: placeholders of a list of `count` values, the first numbered `first`.
pub fn placeholders(count: usize, first: usize) -> String {
    (first..first + count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on() {
        assert_eq!(rows_of_placeholders(2, 2, 3), "($3, $4), ($5, $6)");
    }

    #[tokio::test]
    async fn a_connection_whose_transaction_ended_behind_its_back_is_not_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&format!("sqlite://{}/t.db?mode=rwc", folder.path().display()), 1).await.unwrap();
        db.execute(db.writer(), "CREATE TEMP TABLE of_this_connection (id integer)", []).await.unwrap();

        let broken = db.begin().await.unwrap();
        broken.execute_unprepared("ROLLBACK").await.unwrap();
        drop(broken);
        let next = db.begin().await.unwrap();
        next.execute_unprepared("CREATE TABLE kept (id integer)").await.unwrap();
        next.commit().await.unwrap();

        assert!(db.query(db.writer(), "SELECT id FROM of_this_connection", []).await.is_err());
        assert!(db.query(db.reader(), "SELECT id FROM kept", []).await.is_ok());
    }

    #[tokio::test]
    async fn the_databases_time_moves_with_its_offset() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::connect(&format!("sqlite://{}/t.db?mode=rwc", folder.path().display()), 1).await.unwrap();
        let before = db.now(db.reader()).await.unwrap();

        db.shift_time(chrono::Duration::hours(1));

        assert!(db.now(db.reader()).await.unwrap() - before >= chrono::Duration::hours(1));
    }
}
