//! The history table: every transition, append-only, with cause, actor and trace id.

use sea_orm::{ConnectionTrait, DbErr};
use uuid::Uuid;

use crate::db::{Db, rows_of_placeholders};
use crate::telemetry;

/// One transition of one entity.
pub struct Transition {
    /// `booking`, `payment`, `event`.
    pub entity: &'static str,
    /// Which one.
    pub entity_id: Uuid,
    /// State before; empty at the beginning.
    pub from: &'static str,
    /// State after.
    pub to: &'static str,
    /// Why, a stable word such as `hold` or `PaymentAuthorised`.
    pub cause: String,
    /// Subject of the caller, or the name of the worker.
    pub actor: String,
    /// When, microseconds since 1970.
    pub at: i64,
}

/// Writes transitions in one statement.
pub async fn write(db: &Db, connection: &impl ConnectionTrait, transitions: &[Transition]) -> Result<(), DbErr> {
    if transitions.is_empty() {
        return Ok(());
    }
    let trace_id = telemetry::trace_id().unwrap_or_default();
    let sql = format!(
        "INSERT INTO history (entity, entity_id, from_state, to_state, cause, actor, trace_id, at) VALUES {}",
        rows_of_placeholders(transitions.len(), 8, 1)
    );
    let values = transitions.iter().flat_map(|t| {
        [
            t.entity.into(),
            t.entity_id.into(),
            t.from.into(),
            t.to.into(),
            t.cause.clone().into(),
            t.actor.clone().into(),
            trace_id.clone().into(),
            t.at.into(),
        ]
    });
    db.execute(connection, sql, values.collect::<Vec<_>>()).await?;
    Ok(())
}
