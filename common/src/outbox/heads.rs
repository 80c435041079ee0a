//! How far the facts of aggregates went that were published lately: consumers compare it with what they took.

use std::collections::BTreeMap;
use std::time::Duration;

use sea_orm::DbErr;
use uuid::Uuid;

use super::Outbox;

/// Facts looked at for one page.
const PAGE: usize = 2_000;
/// Where a comparison without a cursor begins.
const LOOK_BACK: chrono::Duration = chrono::Duration::hours(1);

/// A page of heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads {
    /// Aggregates, and the highest sequence of theirs that was published within the page.
    pub heads: Vec<(Uuid, i64)>,
    /// Where the next page begins: an instant and a position.
    pub next: (i64, i64),
    /// Whether more follow by now.
    pub has_more: bool,
}

impl Outbox {
    /// Heads of what was published after `from`, at least `settled_for` ago, in the order of publishing.
    pub async fn heads(&self, from: Option<(i64, i64)>, settled_for: Duration) -> Result<Heads, DbErr> {
        let now = self.db.now(self.db.reader()).await?;
        let (from_at, from_position) = from.unwrap_or(((now - LOOK_BACK).timestamp_micros(), 0));
        let settled = chrono::Duration::from_std(settled_for).unwrap_or(LOOK_BACK);
        let until = (now - settled).timestamp_micros();
        let sql = format!(
            "SELECT position, aggregate_id, sequence, published_at FROM outbox
             WHERE (published_at, position) > ($1, $2) AND published_at <= $3
             ORDER BY published_at, position LIMIT {}",
            PAGE + 1
        );
        let rows = self.db.query(self.db.reader(), sql, [from_at.into(), from_position.into(), until.into()]).await?;

        let mut heads = BTreeMap::new();
        let mut next = (from_at, from_position);
        for row in rows.iter().take(PAGE) {
            let sequence: i64 = row.try_get("", "sequence")?;
            let head = heads.entry(row.try_get("", "aggregate_id")?).or_insert(sequence);
            *head = sequence.max(*head);
            next = (row.try_get("", "published_at")?, row.try_get("", "position")?);
        }
        Ok(Heads { heads: heads.into_iter().collect(), next, has_more: rows.len() > PAGE })
    }
}
