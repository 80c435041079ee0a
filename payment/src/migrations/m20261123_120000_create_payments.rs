//! Payments, their provider steps and refunds, the ledger, and the shared tables.

use common::tables;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::create_shared(manager).await?;
        tables::run(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // One per booking, under the booking's id. `sequence` counts facts told, `version` writes; `nudged_at` is when a
    // waiting payment last told its fact again.
    "CREATE TABLE payments (
        id uuid PRIMARY KEY,
        customer_id text NOT NULL,
        state text NOT NULL CHECK (state IN ('open', 'authorising', 'authorised', 'declined', 'captured',
            'partly_refunded', 'refunded', 'voided', 'closed')),
        amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
        currency text NOT NULL CHECK (length(currency) = 3),
        attempt integer NOT NULL CHECK (attempt >= 0),
        captured_minor bigint NOT NULL CHECK (captured_minor BETWEEN 0 AND amount_minor),
        refunded_minor bigint NOT NULL CHECK (refunded_minor BETWEEN 0 AND captured_minor),
        decline_code text,
        sequence bigint NOT NULL,
        version bigint NOT NULL,
        nudged_at bigint NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL
    )",
    // Serves the watch over waiting payments.
    "CREATE INDEX payments_waiting ON payments (updated_at) WHERE state IN ('authorising', 'authorised')",
    // What the provider has to do, durable before it is asked. `carrier` is the trace context of what asked for it;
    // `tries` counts claims, `refusals` a void's or refund's; `claimed_until` is 0 when nobody holds a claim.
    "CREATE TABLE provider_steps (
        id uuid PRIMARY KEY,
        payment_id uuid NOT NULL REFERENCES payments (id),
        ordinal integer NOT NULL CHECK (ordinal >= 1),
        kind text NOT NULL CHECK (kind IN ('authorise', 'capture', 'void', 'refund')),
        attempt integer NOT NULL CHECK (attempt >= 1),
        reference text NOT NULL,
        refund_id uuid UNIQUE,
        amount_minor bigint NOT NULL CHECK (amount_minor > 0),
        currency text NOT NULL,
        payment_token text,
        state text NOT NULL CHECK (state IN ('pending', 'unknown', 'done', 'failed', 'stuck')),
        tries integer NOT NULL,
        refusals integer NOT NULL,
        next_try_at bigint NOT NULL,
        claimed_by text NOT NULL,
        claimed_until bigint NOT NULL,
        claim_epoch bigint NOT NULL,
        outcome text,
        carrier text NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        UNIQUE (payment_id, ordinal),
        CHECK ((kind = 'refund') = (refund_id IS NOT NULL)),
        CHECK ((kind = 'authorise') = (payment_token IS NOT NULL))
    )",
    // Serves the step worker: what is due.
    "CREATE INDEX provider_steps_due ON provider_steps (next_try_at) WHERE state IN ('pending', 'unknown')",
    // An attempt is authorised and voided at most once, and a payment is captured at most once.
    "CREATE UNIQUE INDEX provider_steps_attempt ON provider_steps (payment_id, kind, attempt)
        WHERE kind IN ('authorise', 'void')",
    "CREATE UNIQUE INDEX provider_steps_capture ON provider_steps (payment_id) WHERE kind = 'capture'",
    // Under booking's key: the same refund is asked for once.
    "CREATE TABLE refunds (
        id uuid PRIMARY KEY,
        payment_id uuid NOT NULL REFERENCES payments (id),
        amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
        currency text NOT NULL,
        state text NOT NULL CHECK (state IN ('waiting', 'pending', 'done', 'stuck', 'nothing_to_refund')),
        reason text NOT NULL,
        position integer NOT NULL,
        created_at bigint NOT NULL,
        updated_at bigint NOT NULL,
        UNIQUE (payment_id, position)
    )",
    // Append-only double entry: two rows per movement, debits equal credits. A cause moves money once.
    "CREATE TABLE ledger_entries (
        id {identity},
        payment_id uuid NOT NULL REFERENCES payments (id),
        movement uuid NOT NULL,
        account text NOT NULL CHECK (account IN ('authorised', 'customer_hold', 'provider_receivable', 'customer')),
        debit_minor bigint NOT NULL CHECK (debit_minor >= 0),
        credit_minor bigint NOT NULL CHECK (credit_minor >= 0),
        currency text NOT NULL,
        cause text NOT NULL,
        at bigint NOT NULL,
        CHECK ((debit_minor = 0) <> (credit_minor = 0)),
        UNIQUE (payment_id, cause, account)
    )",
];
