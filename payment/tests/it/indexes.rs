//! What is promised to be served by an index is: the statements as the store makes them, over 20,000 payments.

use std::time::Duration;

use common::db::{Db, rows_of_placeholders};
use common::testing::statements::Statements;
use payment::application::ports::PaymentStore;
use payment::infrastructure::read;
use sea_orm::{ConnectionTrait, Value};
use uuid::Uuid;

use crate::support::{World, on_both_databases};

on_both_databases!(work_and_watches_are_served_by_their_indexes);

/// Payments, each with a step; most captured long ago.
const PAYMENTS: u64 = 20_000;
/// Rows of one insert.
const ROWS: usize = 50;
/// Kinds of ids.
const PAYMENT: u64 = 1;
const STEP: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(1);

async fn work_and_watches_are_served_by_their_indexes(mut world: World) {
    fill(&world.db).await;
    let asked = Statements::of(&mut world.db);
    let db = world.db.clone();
    let store = world.another("two").store.clone();

    store.overdue(PATIENCE).await.unwrap();
    asked.assert_uses(&db, "nudged_at <", "payments_waiting").await;
    store.overdue(PATIENCE).await.unwrap();
    asked.assert_uses(&db, "nudged_at <", "provider_steps_due").await;
    store.alarm_unknown(PATIENCE).await.unwrap();
    asked.assert_uses(&db, "SET alarmed_at", "provider_steps_unknown").await;
    read::stuck(&db, None, 51).await.unwrap();
    asked.assert_uses(&db, "t.state = 'stuck'", "provider_steps_stuck").await;
    store.claim(10, PATIENCE).await.unwrap();
    asked.assert_uses(&db, "s.next_try_at <=", "provider_steps_due").await;
}

fn id(kind: u64, number: u64) -> Uuid {
    Uuid::from_u64_pair(number, kind)
}

/// Rows enough for a planner to mind; a few of each kind that is looked for.
async fn fill(db: &Db) {
    let numbers: Vec<u64> = (0..PAYMENTS).collect();
    let transaction = db.begin().await.unwrap();
    for some in numbers.chunks(ROWS) {
        let rows = rows_of_placeholders(some.len(), 13, 1);
        let sql = format!(
            "INSERT INTO payments (id, customer_id, state, amount_minor, currency, attempt, captured_minor, refunded_minor,
                sequence, version, nudged_at, created_at, updated_at) VALUES {rows}"
        );
        let values: Vec<Value> = some.iter().flat_map(|n| payment(*n)).collect();
        db.execute(&transaction, sql, values).await.unwrap();
        let rows = rows_of_placeholders(some.len(), 20, 1);
        let sql = format!(
            "INSERT INTO provider_steps (id, payment_id, ordinal, kind, attempt, reference, amount_minor, currency,
                payment_token, state, tries, refusals, next_try_at, claimed_by, claimed_until, claim_epoch, carrier,
                created_at, updated_at, unknown_since) VALUES {rows}"
        );
        let values: Vec<Value> = some.iter().flat_map(|n| step(*n)).collect();
        db.execute(&transaction, sql, values).await.unwrap();
    }
    transaction.commit().await.unwrap();
    db.writer().execute_unprepared("ANALYZE").await.unwrap();
}

/// State of a payment, and of its step.
fn states(n: u64) -> (&'static str, &'static str) {
    match n % 1_000 {
        0 => ("authorising", "pending"),
        1 => ("authorising", "unknown"),
        2 => ("captured", "stuck"),
        _ => ("captured", "done"),
    }
}

fn payment(n: u64) -> [Value; 13] {
    let (state, _) = states(n);
    let captured = if state == "captured" { 100_i64 } else { 0 };
    let at = n.cast_signed();
    [
        id(PAYMENT, n).into(),
        "alice".into(),
        state.into(),
        100_i64.into(),
        "EUR".into(),
        1_i32.into(),
        captured.into(),
        0_i64.into(),
        1_i64.into(),
        1_i64.into(),
        0_i64.into(),
        at.into(),
        at.into(),
    ]
}

fn step(n: u64) -> [Value; 20] {
    let (_, state) = states(n);
    let kind = if state == "stuck" { "void" } else { "authorise" };
    let token = (kind == "authorise").then(|| "tok_approve".to_owned());
    let at = n.cast_signed();
    [
        id(STEP, n).into(),
        id(PAYMENT, n).into(),
        1_i32.into(),
        kind.into(),
        1_i32.into(),
        format!("{}-1", id(PAYMENT, n)).into(),
        100_i64.into(),
        "EUR".into(),
        token.into(),
        state.into(),
        1_i32.into(),
        0_i32.into(),
        at.into(),
        "".into(),
        0_i64.into(),
        0_i64.into(),
        "{}".into(),
        at.into(),
        at.into(),
        (state == "unknown").then_some(at).into(),
    ]
}
