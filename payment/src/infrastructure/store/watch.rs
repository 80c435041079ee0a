//! Unknown and stuck steps, counted and alarmed about.

use std::time::Duration;

use sea_orm::QueryResult;

use super::SqlStore;
use super::claims::{age, micros};
use crate::application::ports::{LongUnknown, Standing, StoreError};
use crate::domain::StepKind;
use crate::infrastructure::rows::Corrupt;

/// Alarms raised in one round.
const ALARMS_MAX: u32 = 100;

impl SqlStore {
    pub(super) async fn count_standing(&self) -> Result<Standing, StoreError> {
        let sql = format!(
            "SELECT kind, state, CAST(count(*) AS bigint) AS steps, {} - min(unknown_since) AS oldest
             FROM provider_steps WHERE state IN ('unknown', 'stuck') GROUP BY kind, state",
            self.db.now_sql()
        );
        let mut standing = Standing::default();
        for row in self.db.query(self.db.reader(), sql, []).await? {
            let (kind, state): (StepKind, String) = (kind(&row)?, row.try_get("", "state")?);
            let steps = u64::try_from(row.try_get::<i64>("", "steps")?).unwrap_or(0);
            if state == "stuck" {
                standing.stuck.insert(kind, steps);
                continue;
            }
            let oldest: Option<i64> = row.try_get("", "oldest")?;
            standing.unknown.insert(kind, steps);
            standing.oldest_unknown = standing.oldest_unknown.max(oldest.map(age));
        }
        Ok(standing)
    }

    /// The statement that marks a step is the one that returns it, so that of many processes one raises the alarm.
    pub(super) async fn mark_alarmed(&self, patience: Duration) -> Result<Vec<LongUnknown>, StoreError> {
        let now = self.db.now_sql();
        let sql = format!(
            "UPDATE provider_steps SET alarmed_at = {now} WHERE state = 'unknown' AND id IN (
                SELECT id FROM provider_steps WHERE state = 'unknown' AND unknown_since < {now} - $1
                    AND alarmed_at < {now} - $1 ORDER BY unknown_since LIMIT {ALARMS_MAX})
             AND alarmed_at < {now} - $1
             RETURNING payment_id, kind, outcome, {now} - unknown_since AS age"
        );
        let rows = self.db.query(self.db.writer(), sql, [micros(patience).into()]).await?;
        let read = |row: &QueryResult| {
            let outcome: Option<String> = row.try_get("", "outcome")?;
            Ok(LongUnknown {
                payment_id: row.try_get("", "payment_id")?,
                kind: kind(row)?,
                reason: outcome.unwrap_or_default(),
                age: age(row.try_get("", "age")?),
            })
        };
        rows.iter().map(read).collect()
    }
}

fn kind(row: &QueryResult) -> Result<StepKind, StoreError> {
    Corrupt { table: "provider_steps", id: String::new() }.word(row, "kind", StepKind::parse)
}
