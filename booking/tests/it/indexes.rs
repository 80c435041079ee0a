//! What is promised to be served by an index is: the statements as the store makes them, over 20,000 bookings.

use booking::infrastructure::store::Listing;
use common::db::{Db, rows_of_placeholders};
use common::ids::EventId;
use common::testing::TestDb;
use sea_orm::{ConnectionTrait, Value};
use uuid::Uuid;

use crate::world::{SECOND, World};

common::on_both_databases!(lists_and_sweeps_are_served_by_their_indexes);

/// Bookings of 400 events and 2,000 customers; most ended, as after some weeks of business.
const BOOKINGS: i64 = 20_000;
const EVENTS: i64 = 400;
const CUSTOMERS: i64 = 2_000;
/// Rows of one insert.
const ROWS: usize = 50;
/// Kinds of ids.
const BOOKING: u64 = 1;
const EVENT: u64 = 2;

async fn lists_and_sweeps_are_served_by_their_indexes(mut test_db: TestDb) {
    let asked = test_db.statements();
    let world = World::new(test_db).await;
    fill(&world.db).await;
    asked.take();
    let (db, store) = (&world.db, &world.store);
    let event = EventId(id(EVENT, 7));
    let all = || Listing { customer: None, event: None, state: None, before: None, limit: 51 };

    store.list(&Listing { customer: Some("customer-7"), ..all() }).await.unwrap();
    asked.assert_uses(db, "FROM bookings WHERE", "bookings_customer").await;
    store.list(&Listing { event: Some(event), ..all() }).await.unwrap();
    asked.assert_uses(db, "FROM bookings WHERE", "bookings_event").await;
    store.list(&Listing { event: Some(event), state: Some("RELEASED"), ..all() }).await.unwrap();
    asked.assert_uses(db, "FROM bookings WHERE", "bookings_event").await;

    store.lapsed().await.unwrap();
    asked.assert_uses(db, "state = 'HELD'", "bookings_held").await;
    store.grace_over().await.unwrap();
    asked.assert_uses(db, "state = 'PAYING'", "bookings_paying").await;
    store.waiting(SECOND).await.unwrap();
    asked.assert_uses(db, "captured = FALSE", "bookings_uncaptured").await;
    store.of_cancelled_events().await.unwrap();
    asked.assert_uses(db, "cancelled_at IS NOT NULL", "events_cancelled").await;
}

/// An id by its kind and number; ids of bookings grow with time.
fn id(kind: u64, number: i64) -> Uuid {
    Uuid::from_u64_pair(number.cast_unsigned(), kind)
}

/// Rows enough for a planner to mind; a few of each kind that the sweeper looks for.
async fn fill(db: &Db) {
    let columns = "id, event_id, customer_id, state, expires_at, grace_until, claims_held, sold_attempt, captured, \
        offer_version, places, total_minor, currency, attempts, sequence, fence, created_at, updated_at, asked_at";
    let numbers: Vec<i64> = (0..BOOKINGS).collect();
    let transaction = db.begin().await.unwrap();
    for some in numbers.chunks(ROWS) {
        let rows = rows_of_placeholders(some.len(), 19, 1);
        let values: Vec<Value> = some.iter().flat_map(|n| booking(*n)).collect();
        let sql = format!("INSERT INTO bookings ({columns}) VALUES {rows}");
        db.execute(&transaction, sql, values).await.unwrap();
    }
    for n in 0..EVENTS {
        let sql =
            "INSERT INTO events (event_id, offer_version, wanted_version, starts_at, sale_starts_at, sale_ends_at,
            per_customer_limit, places, cancelled_at) VALUES ($1, 1, 1, 0, 0, 0, 10, 1000, $2)";
        let cancelled = (n == EVENTS - 1).then_some(1_i64);
        db.execute(&transaction, sql, [id(EVENT, n).into(), cancelled.into()]).await.unwrap();
    }
    transaction.commit().await.unwrap();
    db.writer().execute_unprepared("ANALYZE").await.unwrap();
}

fn booking(n: i64) -> [Value; 19] {
    let (state, live) = match n % 200 {
        0 => ("HELD", true),
        1 => ("PAYING", true),
        2..100 => ("CONFIRMED", false),
        _ => ("RELEASED", false),
    };
    let grace: Option<i64> = (state == "PAYING").then_some(n);
    let sold: Option<i32> = (state == "CONFIRMED").then_some(1);
    [
        id(BOOKING, n).into(),
        id(EVENT, n % EVENTS).into(),
        format!("customer-{}", n % CUSTOMERS).into(),
        state.into(),
        live.then_some(n).into(),
        grace.into(),
        live.into(),
        sold.into(),
        (n % 200 != 2).into(),
        1_i64.into(),
        1_i32.into(),
        1_000_i64.into(),
        "EUR".into(),
        1_i32.into(),
        1_i64.into(),
        1_i64.into(),
        n.into(),
        n.into(),
        n.into(),
    ]
}
