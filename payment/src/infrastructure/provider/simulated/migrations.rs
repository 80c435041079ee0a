//! Schema of the simulated provider's own ledger, apart from payment's: an audit compares the two.

use common::tables;
use sea_orm_migration::prelude::*;

/// Creates what is missing.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let append_only = tables::AppendOnly::of(&["provider_entries"]);
        vec![Box::new(CreateLedger), Box::new(AddDelays), Box::new(AddCallbacks), Box::new(append_only)]
    }

    fn migration_table_name() -> DynIden {
        "provider_migrations".into_iden()
    }
}

struct CreateLedger;

impl MigrationName for CreateLedger {
    fn name(&self) -> &str {
        "m20261123_120000_create_provider_ledger"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateLedger {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::run(manager, STATEMENTS).await
    }
}

struct AddDelays;

impl MigrationName for AddDelays {
    fn name(&self) -> &str {
        "m20261123_140000_add_delays"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AddDelays {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::run(manager, DELAYS).await
    }
}

struct AddCallbacks;

impl MigrationName for AddCallbacks {
    fn name(&self) -> &str {
        "m20261125_090000_add_callbacks"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AddCallbacks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::run(manager, CALLBACKS).await
    }
}

const CALLBACKS: &[&str] = &[
    // What is to be told, in the transaction of its effect, `copies` times. `settled_at` when it was told, or nobody took
    // it for too long.
    "CREATE TABLE provider_callbacks (
        id uuid PRIMARY KEY,
        reference text NOT NULL REFERENCES provider_charges (reference),
        news text NOT NULL,
        refund_id uuid,
        amount_minor bigint NOT NULL,
        currency text NOT NULL,
        code text NOT NULL,
        copies integer NOT NULL,
        tries integer NOT NULL,
        next_try_at bigint NOT NULL,
        created_at bigint NOT NULL,
        settled_at bigint,
        taken boolean NOT NULL DEFAULT FALSE
    )",
    // Serves delivery: what is due.
    "CREATE INDEX provider_callbacks_due ON provider_callbacks (next_try_at) WHERE settled_at IS NULL",
    // Serves forgetting.
    "CREATE INDEX provider_callbacks_settled ON provider_callbacks (settled_at) WHERE settled_at IS NOT NULL",
];

const DELAYS: &[&str] = &[
    // Until then an authorisation is being decided, whatever stands in `state`.
    "ALTER TABLE provider_charges ADD COLUMN known_at bigint NOT NULL DEFAULT 0",
    // Refund calls refused so far because the token says so.
    "ALTER TABLE provider_charges ADD COLUMN refund_refusals bigint NOT NULL DEFAULT 0",
    // Refunds taken in that fail at `fails_at`; one that is done afterwards is in `provider_refunds` too.
    "CREATE TABLE provider_pending_refunds (
        refund_id uuid PRIMARY KEY,
        reference text NOT NULL REFERENCES provider_charges (reference),
        fails_at bigint NOT NULL
    )",
    // Serves the refunds of one reference.
    "CREATE INDEX provider_pending_refunds_reference ON provider_pending_refunds (reference)",
];

const STATEMENTS: &[&str] = &[
    // One row per reference ever seen. `amount_minor` is what was asked for; what was authorised is that amount unless
    // `decline_code` is set. A void of a reference never seen leaves a row with amount 0 and no currency.
    "CREATE TABLE provider_charges (
        reference text PRIMARY KEY,
        token text NOT NULL,
        state text NOT NULL CHECK (state IN ('approved', 'declined', 'captured', 'voided')),
        decline_code text,
        amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
        currency text NOT NULL,
        captured_minor bigint NOT NULL CHECK (captured_minor BETWEEN 0 AND amount_minor),
        voided_minor bigint NOT NULL CHECK (voided_minor BETWEEN 0 AND amount_minor - captured_minor),
        refunded_minor bigint NOT NULL CHECK (refunded_minor BETWEEN 0 AND captured_minor),
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL
    )",
    // One row per refund done, by the caller's key.
    "CREATE TABLE provider_refunds (
        refund_id uuid PRIMARY KEY,
        reference text NOT NULL REFERENCES provider_charges (reference),
        amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        currency text NOT NULL,
        created_at bigint NOT NULL
    )",
    // Serves the refunds of one reference.
    "CREATE INDEX provider_refunds_reference ON provider_refunds (reference)",
    // Append-only: every effect, once. `refund_id` only for refunds.
    "CREATE TABLE provider_entries (
        position {identity},
        reference text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('authorise', 'decline', 'capture', 'void', 'refund')),
        refund_id uuid,
        amount_minor bigint NOT NULL,
        currency text NOT NULL,
        at bigint NOT NULL
    )",
    // Serves the story of one reference.
    "CREATE INDEX provider_entries_reference ON provider_entries (reference, position)",
];
