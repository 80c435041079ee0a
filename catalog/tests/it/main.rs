//! Catalog from outside: the real gRPC server in this process, on SQLite and on PostgreSQL alike.

mod access;
mod booking;
mod events;
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
