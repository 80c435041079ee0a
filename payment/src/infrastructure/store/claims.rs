//! Claims on due steps, and payments that wait too long.

use std::time::Duration;

use common::failpoint::{self, Step};
use sea_orm::{QueryResult, Value};

use super::SqlStore;
use crate::application::ports::{Claim, Overdue, StoreError};
use crate::infrastructure::rows;

/// Waiting payments looked at in one round.
const OVERDUE_MAX: u32 = 100;

impl SqlStore {
    pub(super) async fn claim_due(&self, limit: usize, lapse: Duration) -> Result<Vec<Claim>, StoreError> {
        let due = self.due(limit).await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let lapse = micros(lapse);
        let now = self.db.now_sql();
        // The epoch read before is the guard: of two workers that saw the same step, one finds it grown.
        let sql = format!(
            "UPDATE provider_steps SET claimed_by = $1, claimed_until = {now} + $2, claim_epoch = claim_epoch + 1, tries = tries + 1
             WHERE payment_id = $3 AND ordinal = $4 AND claim_epoch = $5 AND claimed_until <= {now}
             AND state IN ('pending', 'unknown')"
        );
        let mut claims = Vec::with_capacity(due.len());
        let transaction = self.db.begin().await?;
        for mut claim in due {
            let values: [Value; 5] = [
                self.instance.clone().into(),
                lapse.into(),
                claim.payment_id.into(),
                claim.step.ordinal.into(),
                claim.step.claim_epoch.into(),
            ];
            if self.db.execute(&transaction, &sql, values).await? == 1 {
                claim.step.claim_epoch += 1;
                claim.step.tries += 1;
                claims.push(claim);
            }
        }
        let kinds = claims.iter().map(|claim| claim.step.kind().word());
        failpoint::around(Step::ClaimSteps, kinds, transaction.commit()).await?;
        Ok(claims)
    }

    /// Due steps, each the earliest unfinished one of its payment, the longest due first; handed back in payment order,
    /// which is the order they are locked in.
    async fn due(&self, limit: usize) -> Result<Vec<Claim>, StoreError> {
        let (columns, now) = (rows::STEP_COLUMNS, self.db.now_sql());
        let sql = format!(
            "SELECT {columns}, {now} - s.unknown_since AS unknown_for FROM provider_steps s
             WHERE s.state IN ('pending', 'unknown') AND s.next_try_at <= {now} AND s.claimed_until <= {now}
             AND NOT EXISTS (SELECT 1 FROM provider_steps e
                WHERE e.payment_id = s.payment_id AND e.ordinal < s.ordinal AND e.state IN ('pending', 'unknown'))
             ORDER BY s.next_try_at, s.payment_id LIMIT {limit}"
        );
        let rows = self.db.query(self.db.reader(), sql, []).await?;
        let mut due = rows.iter().map(claim).collect::<Result<Vec<_>, _>>()?;
        due.sort_by_key(|claim| claim.payment_id);
        Ok(due)
    }

    pub(super) async fn release_own_claims(&self) -> Result<(), StoreError> {
        let sql = "UPDATE provider_steps SET claimed_by = '', claimed_until = 0, claim_epoch = claim_epoch + 1
            WHERE claimed_by = $1 AND state IN ('pending', 'unknown')";
        self.db.execute(self.db.writer(), sql, [self.instance.clone().into()]).await?;
        Ok(())
    }

    pub(super) async fn overdue_payments(&self, patience: Duration) -> Result<Vec<Overdue>, StoreError> {
        let unfinished =
            "EXISTS (SELECT 1 FROM provider_steps s WHERE s.payment_id = p.id AND s.state IN ('pending', 'unknown'))";
        let before = format!("{} - $1", self.db.now_sql());
        let sql = format!(
            "SELECT p.id AS id, (p.state = 'authorised' AND NOT {unfinished}) AS waits_for_booking FROM payments p
             WHERE p.id IN (
                SELECT id FROM payments WHERE state IN ('authorising', 'authorised') AND updated_at < {before}
                UNION SELECT payment_id FROM provider_steps WHERE state IN ('pending', 'unknown'))
             AND p.updated_at < {before} AND p.nudged_at < {before}
             ORDER BY p.id LIMIT {OVERDUE_MAX}"
        );
        let rows = self.db.query(self.db.reader(), sql, [micros(patience).into()]).await?;
        let read = |row: &QueryResult| {
            Ok(Overdue { payment_id: row.try_get("", "id")?, waits_for_booking: row.try_get("", "waits_for_booking")? })
        };
        rows.iter().map(read).collect()
    }
}

fn claim(row: &QueryResult) -> Result<Claim, StoreError> {
    let carrier: String = row.try_get("", "carrier")?;
    let unknown_for: Option<i64> = row.try_get("", "unknown_for")?;
    Ok(Claim {
        payment_id: row.try_get("", "payment_id")?,
        step: rows::step(row)?,
        unknown_for: unknown_for.map(age),
        carrier: serde_json::from_str(&carrier).unwrap_or_default(),
    })
}

/// A duration as the database counts it.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A duration the database has counted.
pub(super) fn age(micros: i64) -> Duration {
    Duration::from_micros(micros.try_into().unwrap_or(0))
}
