//! What the provider tells unasked, what a person must look at, and histories of refunds and voids.

use common::tables;
use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        tables::run(manager, STATEMENTS).await
    }
}

const STATEMENTS: &[&str] = &[
    // A void that payment asked for by itself; since when an outcome is unknown, and when that last raised an alarm.
    "ALTER TABLE provider_steps ADD COLUMN stray boolean NOT NULL DEFAULT FALSE",
    "ALTER TABLE provider_steps ADD COLUMN unknown_since bigint",
    "ALTER TABLE provider_steps ADD COLUMN alarmed_at bigint NOT NULL DEFAULT 0",
    "UPDATE provider_steps SET unknown_since = updated_at WHERE state = 'unknown'",
    // Serves the watch over unknown outcomes.
    "CREATE INDEX provider_steps_unknown ON provider_steps (unknown_since) WHERE state = 'unknown'",
    // Serves the list of what is stuck, oldest first.
    "CREATE INDEX provider_steps_stuck ON provider_steps (updated_at, id) WHERE state = 'stuck'",
    // One row per event the provider told, in the transaction of its effect. `effect`: what came of it.
    "CREATE TABLE provider_events (
        id text PRIMARY KEY,
        reference text NOT NULL,
        news text NOT NULL,
        effect text NOT NULL CHECK (effect IN ('applied', 'none', 'not_ours')),
        received_at bigint NOT NULL
    )",
    // Serves forgetting.
    "CREATE INDEX provider_events_age ON provider_events (received_at)",
    // From here on the history follows refunds and voids too.
    "INSERT INTO history (entity, entity_id, from_state, to_state, cause, actor, trace_id, at)
        SELECT 'refund', id, '', state, 'migration', 'payment', '', updated_at FROM refunds",
    "INSERT INTO history (entity, entity_id, from_state, to_state, cause, actor, trace_id, at)
        SELECT 'void', id, '', state, 'migration', 'payment', '', updated_at FROM provider_steps WHERE kind = 'void'",
];
