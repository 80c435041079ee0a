//! Catalog from outside: the real gRPC server in this process, on SQLite and on PostgreSQL alike.

#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

mod access;
mod booking;
mod events;
mod indexes;
mod keys;
mod offers;
mod plans;
mod search;
mod world;

/// Runs each story on both databases.
macro_rules! on_both_databases {
    ($($story:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $story() {
                Box::pin(super::$story($crate::world::World::on_sqlite().await)).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $story() {
                Box::pin(super::$story($crate::world::World::on_postgres().await)).await;
            })+
        }
    };
}
pub(crate) use on_both_databases;
