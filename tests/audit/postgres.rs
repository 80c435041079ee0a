//! The same checks on PostgreSQL: every statement is understood, and rows are read.

use std::time::Duration;

use common::testing::TestDb;
use eventix::audit::{Databases, audit};
use payment::infrastructure::provider::simulated::SimulatedProvider;
use uuid::Uuid;

struct World {
    catalog: TestDb,
    booking: TestDb,
    payment: TestDb,
    provider: TestDb,
}

impl World {
    async fn new() -> Self {
        let world = Self {
            catalog: TestDb::postgres().await,
            booking: TestDb::postgres().await,
            payment: TestDb::postgres().await,
            provider: TestDb::postgres().await,
        };
        catalog::migrate(&world.catalog).await.unwrap();
        booking::migrate(&world.booking).await.unwrap();
        payment::migrate(&world.payment).await.unwrap();
        SimulatedProvider::open(&world.provider.url).await.unwrap();
        world
    }

    async fn broken(&self) -> Vec<&'static str> {
        let databases = Databases {
            catalog: (*self.catalog).clone(),
            booking: (*self.booking).clone(),
            payment: (*self.payment).clone(),
            provider: Some((*self.provider).clone()),
        };
        let report = audit(&databases, Duration::ZERO).await.unwrap();
        report.invariants.iter().filter(|i| !i.ok).map(|i| i.id).collect()
    }

    async fn insert(&self, db: &TestDb, sql: &str, id: Uuid) {
        db.execute(db.writer(), sql, [id.into()]).await.unwrap();
    }
}

#[tokio::test]
async fn empty_databases_are_clean() {
    assert_eq!(World::new().await.broken().await, Vec::<&str>::new());
}

#[tokio::test]
async fn broken_rows_are_found_in_each_database() {
    let world = World::new().await;
    let id = Uuid::now_v7();

    world.insert(&world.booking, BOOKING, id).await;
    world.insert(&world.booking, ITEM, id).await;
    world.insert(&world.booking, COUNTER, id).await;
    world.insert(&world.booking, CLAIM, id).await;
    world.insert(&world.booking, INBOX, id).await;
    world.insert(&world.booking, PARKED, id).await;
    world.insert(&world.booking, REQUEST, id).await;
    world.insert(&world.payment, PAYMENT, id).await;
    world.insert(&world.payment, STEP, id).await;
    world.insert(&world.payment, ENTRY, id).await;
    world.insert(&world.payment, OUTBOX, id).await;
    world.insert(&world.payment, HISTORY, id).await;
    world.insert(&world.provider, CHARGE, id).await;

    assert_eq!(world.broken().await, ["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10"]);
}

const BOOKING: &str =
    "INSERT INTO bookings (id, event_id, customer_id, offer_version, state, places, total_minor, currency,
    attempts, expires_at, claims_held, captured, sequence, fence, created_at, updated_at, asked_at)
    VALUES ($1, $1, 'alice', 1, 'HELD', 2, 500, 'EUR', 0, 5, TRUE, FALSE, 1, 1, 1, 1, 1)";
const ITEM: &str = "INSERT INTO booking_items (id, booking_id, ordinal, seat_id, label, price_minor, refunded_minor)
    VALUES ($1, $1, 0, $1, 'A1', 500, 0)";
const COUNTER: &str = "INSERT INTO area_counters (event_id, area_id, capacity, taken) VALUES ($1, $1, 5, 3)";
const CLAIM: &str = "INSERT INTO seat_claims (event_id, seat_id, booking_id, fence, state, expires_at)
    VALUES ($1, $1, $1, 1, 'held', 5)";
const INBOX: &str = "INSERT INTO inbox (consumer, fact_id, producer, aggregate_id, sequence, processed_at)
    VALUES ('booking', $1, 'payment', $1, 4, 1)";
const PARKED: &str =
    "INSERT INTO parked (consumer, producer, aggregate_id, sequence, fact_id, value, headers, parked_at)
    VALUES ('booking', 'payment', $1, 9, $1, '', '{}', 1)";
const REQUEST: &str = "INSERT INTO requests (scope, request_id, fingerprint, answer, created_at)
    VALUES ('hold/alice', CAST(CAST($1 AS uuid) AS text), '', '\\x00', 1)";
const PAYMENT: &str = "INSERT INTO payments (id, customer_id, state, amount_minor, currency, attempt, captured_minor,
    refunded_minor, sequence, version, nudged_at, created_at, updated_at)
    VALUES ($1, 'alice', 'captured', 500, 'EUR', 1, 500, 0, 1, 1, 0, 1, 1)";
const STEP: &str = "INSERT INTO provider_steps (id, payment_id, ordinal, kind, attempt, reference, amount_minor, currency,
    payment_token, state, tries, refusals, next_try_at, claimed_by, claimed_until, claim_epoch, carrier, created_at, updated_at)
    VALUES ($1, $1, 1, 'authorise', 1, CAST(CAST($1 AS uuid) AS text) || '-1', 500, 'EUR', 'tok_approve', 'done', 1, 0, 0, '',
    0, 0, '{}', 1, 1)";
const ENTRY: &str =
    "INSERT INTO ledger_entries (payment_id, movement, account, debit_minor, credit_minor, currency, cause, at)
    VALUES ($1, $1, 'customer', 0, 7, 'EUR', 'capture 1', 1)";
const OUTBOX: &str = "INSERT INTO outbox (id, aggregate_id, sequence, log_partition, kind, value, carrier, occurred_at)
    VALUES ($1, $1, 2, 0, 'eventix.payment.v1.PaymentCaptured', '', '{}', 1)";
const HISTORY: &str = "INSERT INTO history (entity, entity_id, from_state, to_state, cause, actor, trace_id, at)
    VALUES ('payment', $1, 'open', 'captured', 'x', 'x', '', 1)";
const CHARGE: &str = "INSERT INTO provider_charges (reference, token, state, amount_minor, currency, captured_minor,
    voided_minor, refunded_minor, created_at, updated_at)
    VALUES (CAST(CAST($1 AS uuid) AS text) || '-2', 'tok_approve', 'captured', 500, 'EUR', 500, 0, 0, 1, 1)";
