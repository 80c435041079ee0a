//! The tables every service has are served by their indexes: the statements as services make them, over 20,000 rows.

use common::db::rows_of_placeholders;
use common::ids::FactId;
use common::inbox;
use common::on_both_databases;
use common::requests;
use common::testing::TestDb;
use sea_orm::{ConnectionTrait, Value};
use uuid::Uuid;

use crate::brokers::Broker;
use crate::world::{KIND, World, fact};

on_both_databases!(publishing_intake_and_cleaning_up_are_served_by_indexes);

/// Rows of each table; a few are to be published or cleaned up, as on any day.
const ROWS: i64 = 20_000;
/// Rows of one insert.
const CHUNK: usize = 100;
const DAY: i64 = 24 * 3600 * 1_000_000;

async fn publishing_intake_and_cleaning_up_are_served_by_indexes(mut test_db: TestDb) {
    let asked = test_db.statements();
    let broker = Broker::start().await;
    let mut world = World::new(test_db, broker.addr).await;
    fill(&world).await;

    asked.take();
    world.outbox.backlog().await.unwrap();
    asked.assert_uses(&world.db, "FROM outbox", "outbox_unpublished").await;
    world.outbox.clean().await.unwrap();
    asked.assert_uses(&world.db, "DELETE FROM outbox", "outbox_published").await;
    inbox::clean(&world.db).await.unwrap();
    asked.assert_uses(&world.db, "DELETE FROM inbox", "inbox_processed").await;
    requests::forget_old(&world.db).await.unwrap();
    asked.assert_uses(&world.db, "DELETE FROM requests", "requests_age").await;

    world.run();
    world.tell(&[fact(Uuid::now_v7(), 1, "x")]).await;
    world.until_count("effects", 1).await;
    asked.assert_uses(&world.db, "log_partition IN", "outbox_unpublished").await;
    world.tell(&[fact(Uuid::now_v7(), 1, "x")]).await;
    world.until_count("effects", 2).await;
    asked.assert_uses(&world.db, "AS earliest FROM dead_letters", "dead_letters_unsettled").await;
    world.halt().await;
}

/// Rows of the ages that a service in its second week has.
async fn fill(world: &World) {
    let now = world.db.now(world.db.reader()).await.unwrap().timestamp_micros();
    // One row in 200 is older than anything is kept.
    let at = |n: i64| Value::from(if n % 200 == 0 { now - 8 * DAY } else { now });
    let id = |n: i64| Value::from(Uuid::from_u64_pair(n.cast_unsigned(), 0));

    let outbox = "outbox (id, aggregate_id, sequence, log_partition, kind, value, carrier, occurred_at, published_at)";
    insert(world, outbox, |n| {
        let value = Value::from(vec![0_u8; 200]);
        vec![
            id(n),
            id(n),
            1_i64.into(),
            i32::try_from(n % 12).unwrap().into(),
            KIND.into(),
            value,
            "{}".into(),
            at(n),
            at(n),
        ]
    })
    .await;
    insert(world, "inbox (consumer, fact_id, producer, aggregate_id, sequence, processed_at)", |n| {
        vec![
            "another".into(),
            FactId(Uuid::from_u64_pair(n.cast_unsigned(), 1)).into(),
            "tester".into(),
            id(n),
            1_i64.into(),
            at(n),
        ]
    })
    .await;
    insert(world, "requests (scope, request_id, fingerprint, created_at)", |n| {
        vec!["Hold/anna".into(), n.to_string().into(), "f".into(), at(n)]
    })
    .await;
    let letters = "dead_letters (id, consumer, producer, aggregate_id, sequence, log_partition, log_offset, headers, error, status,
        created_at, settled_at)";
    insert(world, letters, |n| {
        let (status, settled) = if n % 200 == 1 { ("open", None) } else { ("discarded", Some(n)) };
        vec![
            id(n),
            "tester".into(),
            "tester".into(),
            id(n),
            1_i64.into(),
            0_i32.into(),
            n.into(),
            "{}".into(),
            "it is no fact".into(),
            status.into(),
            n.into(),
            settled.into(),
        ]
    })
    .await;
    world.db.writer().execute_unprepared("ANALYZE").await.unwrap();
}

/// Inserts [`ROWS`] rows into a table, given with its columns.
async fn insert(world: &World, table: &str, row: impl Fn(i64) -> Vec<Value>) {
    let numbers: Vec<i64> = (0..ROWS).collect();
    let transaction = world.db.begin().await.unwrap();
    for some in numbers.chunks(CHUNK) {
        let values: Vec<Value> = some.iter().flat_map(|n| row(*n)).collect();
        let columns = values.len() / some.len();
        let sql = format!("INSERT INTO {table} VALUES {}", rows_of_placeholders(some.len(), columns, 1));
        world.db.execute(&transaction, sql, values).await.unwrap();
    }
    transaction.commit().await.unwrap();
}
