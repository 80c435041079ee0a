//! For tests (feature `testing`): a database per test, SQLite or PostgreSQL, gone at the test's end; an OIDC issuer and a
//! certification authority of a test's own.

use std::ops::Deref;

use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use self::statements::Statements;
use crate::db::Db;
use crate::ids::FactId;

pub mod authority;
pub mod issuer;
pub mod statements;
pub mod untidy;

/// Names the PostgreSQL server whose databases tests make and drop: `postgres://user:password@host:port/database`.
const POSTGRES: &str = "EVENTIX_TEST_POSTGRES";
/// Set to `1` by `./tests/run --all`: long tests take their full size.
const ALL: &str = "EVENTIX_TEST_ALL";
/// Pooled connections of one test's PostgreSQL database.
const CONNECTIONS: u32 = 8;

/// Whether long tests take their full size, or one that is quick and still shows what they are about.
pub fn everything() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
    std::env::var(ALL).is_ok_and(|value| value == "1")
}

/// The PostgreSQL server whose databases and roles tests make and drop.
///
/// # Panics
/// When `EVENTIX_TEST_POSTGRES` does not name one: a test that was not run must not look green.
pub fn postgres_server() -> String {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
    std::env::var(POSTGRES).unwrap_or_else(|_| {
        panic!("{POSTGRES} must name a PostgreSQL server that tests may use: run the tests through ./tests/run")
    })
}

/// An empty database of its own; stands for its [`Db`] wherever one is wanted.
pub struct TestDb {
    db: Db,
    /// How another process would connect to it.
    pub url: String,
    home: Home,
}

enum Home {
    /// Held for its drop, which removes the folder.
    Folder {
        _folder: TempDir,
    },
    Server {
        url: String,
        database: String,
    },
}

impl TestDb {
    /// A new SQLite file in a folder of its own.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    pub async fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.db").display());
        let db = Db::connect(&url, 1).await.expect("a new SQLite file opens");
        Self { db, url, home: Home::Folder { _folder: folder } }
    }

    /// A new database on the PostgreSQL server that the test run provides.
    ///
    /// # Panics
    /// When `EVENTIX_TEST_POSTGRES` does not name such a server: a test that was not run must not look green.
    pub async fn postgres() -> Self {
        Self::postgres_on(&postgres_server()).await
    }

    /// A new database on this PostgreSQL server: `postgres://user:password@host:port/database`.
    ///
    /// # Panics
    /// When the server does not make one.
    pub async fn postgres_on(server: &str) -> Self {
        let database = format!("eventix_test_{}", FactId::new().0.simple());
        administer(server, &format!("CREATE DATABASE {database} TEMPLATE template0")).await;
        let url = with_database(server, &database);
        let db = Db::connect(&url, CONNECTIONS).await.expect("a new PostgreSQL database opens");
        Self { db, url, home: Home::Server { url: server.to_owned(), database } }
    }

    /// Notes every statement that this database is asked from now on, also through later clones of its [`Db`].
    pub fn statements(&mut self) -> Statements {
        Statements::of(&mut self.db)
    }

    /// Connects once more, as another process would: with a pool and a time of its own.
    ///
    /// # Panics
    /// When the database does not accept it.
    pub async fn connect_again(&self) -> Db {
        Db::connect(&self.url, CONNECTIONS).await.expect("the test's database opens again")
    }
}

impl Deref for TestDb {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let Home::Server { url, database } = &self.home else { return };
        let (url, sql) = (url.clone(), format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        // A thread of its own: the test's runtime may be busy ending, and dropping cannot wait on it.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(administer(&url, &sql));
        });
        if dropping.join().is_err() {
            tracing::warn!("the database {database} of a test could not be dropped");
        }
    }
}

async fn administer(server: &str, sql: &str) {
    let connection = Database::connect(server).await.expect("the PostgreSQL server of the test run answers");
    connection.execute_unprepared(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    connection.close().await.expect("the connection closes");
}

/// The server's address with another database.
fn with_database(server: &str, database: &str) -> String {
    let (address, parameters) = server.split_once('?').map_or((server, ""), |(address, rest)| (address, rest));
    let host_at = address.find("://").map_or(0, |at| at + 3);
    let host_end = address[host_at..].find('/').map_or(address.len(), |at| host_at + at);
    let separator = if parameters.is_empty() { "" } else { "?" };
    format!("{}/{database}{separator}{parameters}", &address[..host_end])
}

/// Turns each `async fn name(db: TestDb)` into two tests, `on_sqlite::name` and `on_postgres::name`.
#[macro_export]
macro_rules! on_both_databases {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name($crate::testing::TestDb::sqlite().await).await; })+
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name($crate::testing::TestDb::postgres().await).await; })+
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_keeps_user_and_parameters() {
        assert_eq!(
            with_database("postgres://u:p@h:1/old?sslmode=disable", "new"),
            "postgres://u:p@h:1/new?sslmode=disable"
        );
        assert_eq!(with_database("postgres://u@h", "new"), "postgres://u@h/new");
    }
}
