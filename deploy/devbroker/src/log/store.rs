//! The SQLite file: its schema and every statement. One connection writes, a few read beside it (WAL).

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, ensure};
use bytes::Bytes;
use sea_orm::sqlx::Connection;
use sea_orm::sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqlxSqliteConnector, Statement,
    TransactionTrait, Value,
};

use super::Topic;

const READERS_MAX: u32 = 4;
/// Batches of one partition looked at for one answer.
const BATCHES_MAX: i64 = 512;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL CHECK (partitions > 0)
);
CREATE TABLE IF NOT EXISTS batches (
    topic INTEGER NOT NULL REFERENCES topics (id),
    partition INTEGER NOT NULL,
    base_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL CHECK (last_offset >= base_offset),
    bytes BLOB NOT NULL,
    PRIMARY KEY (topic, partition, last_offset),
    UNIQUE (topic, partition, base_offset)
);";

/// Sizes first, from row headers alone, so that no blob is loaded that does not fit.
const READ: &str = "
SELECT b.bytes
FROM (
    SELECT last_offset, SUM(size) OVER places AS total, ROW_NUMBER() OVER places AS place
    FROM (
        SELECT last_offset, LENGTH(bytes) AS size FROM batches
        WHERE topic = ?1 AND partition = ?2 AND last_offset >= ?3 AND last_offset < ?4
        ORDER BY last_offset LIMIT ?5
    )
    WINDOW places AS (ORDER BY last_offset)
) AS w
CROSS JOIN batches AS b ON b.topic = ?1 AND b.partition = ?2 AND b.last_offset = w.last_offset
WHERE w.total <= ?6 OR (w.place = 1 AND ?7)
ORDER BY w.last_offset";

/// The open file.
pub struct Store {
    writer: DatabaseConnection,
    readers: DatabaseConnection,
    /// Held as long as the store: two brokers on one file would give offsets twice. The kernel frees it after kill -9.
    _lock: File,
}

impl Store {
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let lock = lock_beside(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let writing = SqlitePoolOptions::new().max_connections(1);
        let writing = writing.after_release(|used, _| Box::pin(is_between_transactions(used)));
        let writer = writing.connect_with(options.clone()).await?;
        let writer = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer);
        writer.execute_unprepared(SCHEMA).await.context("cannot create the tables")?;
        let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_with(options).await?;
        Ok(Self { writer, readers: SqlxSqliteConnector::from_sqlx_sqlite_pool(readers), _lock: lock })
    }

    pub async fn close(&self) -> Result<(), DbErr> {
        self.readers.close_by_ref().await?;
        self.writer.close_by_ref().await
    }

    /// Every topic, its partitions still at offset 0.
    pub async fn topics(&self) -> Result<Vec<Topic>, DbErr> {
        let rows = self.readers.query_all_raw(statement("SELECT id, name, partitions FROM topics", [])).await?;
        let topic = |row: &sea_orm::QueryResult| {
            Ok(Topic::new(row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?))
        };
        rows.iter().map(topic).collect()
    }

    /// The next offset of a partition.
    pub async fn end(&self, topic: &Topic, partition: i32) -> Result<i64, DbErr> {
        let sql = "SELECT MAX(last_offset) FROM batches WHERE topic = ?1 AND partition = ?2";
        let row = self.readers.query_one_raw(statement(sql, [topic.id.into(), partition.into()])).await?;
        let last: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
        Ok(last.map_or(0, |last| last + 1))
    }

    /// Whole batches, one behind the other; see `Log::read`.
    pub async fn read(
        &self,
        topic: i64,
        partition: i32,
        offsets: Range<i64>,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Bytes, DbErr> {
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        let values = [
            topic.into(),
            partition.into(),
            offsets.start.into(),
            offsets.end.into(),
            BATCHES_MAX.into(),
            bytes_max.into(),
            at_least_one.into(),
        ];
        let mut records = Vec::new();
        for row in self.readers.query_all_raw(statement(READ, values)).await? {
            records.extend(row.try_get_by_index::<Vec<u8>>(0)?);
        }
        Ok(records.into())
    }

    /// The one transaction open at a time.
    pub async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        self.writer.begin().await
    }
}

/// Adds a topic and returns its id.
pub async fn insert_topic(transaction: &DatabaseTransaction, name: &str, partitions: i32) -> Result<i64, DbErr> {
    let sql = "INSERT INTO topics (name, partitions) VALUES (?1, ?2)";
    let done = transaction.execute_raw(statement(sql, [name.into(), partitions.into()])).await?;
    i64::try_from(done.last_insert_id()).map_err(|error| DbErr::Custom(error.to_string()))
}

/// Adds one batch that takes the offsets of `offsets`.
pub async fn insert_batch(
    transaction: &DatabaseTransaction,
    topic: &Topic,
    partition: i32,
    offsets: Range<i64>,
    bytes: Vec<u8>,
) -> Result<(), DbErr> {
    let sql = "INSERT INTO batches (topic, partition, base_offset, last_offset, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
    let values = [topic.id.into(), partition.into(), offsets.start.into(), (offsets.end - 1).into(), bytes.into()];
    transaction.execute_raw(statement(sql, values)).await.map(drop)
}

/// Whether the writing connection may be used again. SQLite ends a transaction by itself when the disk is full; the driver's
/// ROLLBACK then fails, and from there on it takes each transaction for a part of that one, whose COMMIT never comes.
async fn is_between_transactions(used: &mut SqliteConnection) -> Result<bool, sea_orm::sqlx::Error> {
    // Whoever dropped a transaction only asked for its ROLLBACK: this waits for it.
    used.ping().await?;
    Ok(!used.is_in_transaction())
}

fn lock_beside(path: &Path) -> anyhow::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&name)?;
    let free = lock.try_lock();
    ensure!(free.is_ok(), "another broker uses {}", path.display());
    Ok(lock)
}

fn statement<const N: usize>(sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)
}
