//! Callbacks in the provider's ledger: noted in the transaction of what they tell, told at least once, for up to three days.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::clock::from_micros;
use common::db::Db;
use common::ids::RefundId;
use common::money::Money;
use sea_orm::{DatabaseTransaction, DbErr, QueryResult, Value};
use tokio::sync::Notify;
use uuid::Uuid;

use super::rows::money;
use super::{Ledger, Verdict, micros};
use crate::application::ports::ProviderEvent;
use crate::domain::{News, Reference};

/// Callbacks taken up at once.
const BATCH: u32 = 32;
/// Between two copies of one callback.
const COPY_PAUSE: Duration = Duration::from_millis(200);
/// Pause after the first callback that was not taken; doubles.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
const RETRY_LONGEST: Duration = Duration::from_secs(3600);
/// How long a callback is told that nobody takes.
const TOLD_FOR: Duration = Duration::from_secs(72 * 3600);
/// How long settled callbacks are kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// When and how often something is told.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    /// How long after it is known.
    pub after: Duration,
    /// How often.
    pub times: u32,
}

impl Telling {
    /// Once, a moment after the answer, as is usual.
    pub const SOON: Self = Self { after: Duration::from_secs(1), times: 1 };
    /// Once, without waiting for the answer.
    pub const AT_ONCE: Self = Self { after: Duration::ZERO, times: 1 };
}

impl Ledger {
    /// Notes that an authorisation is to be told as soon as it is known.
    pub(super) async fn tell_verdict(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        amount: Money,
        verdict: &Verdict,
    ) -> Result<(), DbErr> {
        let Some(telling) = verdict.told else { return Ok(()) };
        let news = match verdict.outcome {
            Ok(()) => News::Approved { amount },
            Err(code) => News::Declined { code: code.to_owned() },
        };
        let telling = Telling { after: telling.after + verdict.known_after, ..telling };
        self.tell(transaction, reference, &news, telling).await
    }

    /// Notes that something is to be told.
    pub(super) async fn tell(
        &self,
        transaction: &DatabaseTransaction,
        reference: &Reference,
        news: &News,
        telling: Telling,
    ) -> Result<(), DbErr> {
        if self.callbacks.is_none() {
            return Ok(());
        }
        let (refund, amount, code) = columns(news);
        let sql = format!(
            "INSERT INTO provider_callbacks (id, reference, news, refund_id, amount_minor, currency, code, copies, tries,
                next_try_at, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, {now} + $9, {now})",
            now = self.db.now_sql()
        );
        let values: [Value; 9] = [
            Uuid::now_v7().into(),
            reference.as_str().into(),
            news.word().into(),
            refund.map(|refund| refund.0).into(),
            amount.map_or(0, Money::amount_minor).into(),
            amount.map_or("", |amount| amount.currency().code()).into(),
            code.into(),
            telling.times.cast_signed().into(),
            micros(telling.after).into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Takes back what was to be told of a reference whose authorisation will now never be known.
    pub(super) async fn untell(&self, transaction: &DatabaseTransaction, reference: &Reference) -> Result<(), DbErr> {
        let sql = "DELETE FROM provider_callbacks WHERE reference = $1 AND settled_at IS NULL";
        self.db.execute(transaction, sql, [reference.as_str().into()]).await?;
        Ok(())
    }

    /// Wakes whoever delivers; called after a commit.
    pub(super) fn told(&self) {
        if let Some(callbacks) = &self.callbacks {
            callbacks.wake.notify_one();
        }
    }
}

/// What is still to be told; cheap to clone.
#[derive(Clone)]
pub struct Callbacks {
    db: Db,
    wake: Arc<Notify>,
}

/// One callback taken up for delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What it tells.
    pub event: ProviderEvent,
    /// When it was first noted.
    pub created_at: DateTime<Utc>,
    id: Uuid,
    copies: i32,
    tries: i32,
}

impl Callbacks {
    pub(super) fn new(db: Db) -> Self {
        Self { db, wake: Arc::default() }
    }

    /// Waits until something may be due, `pause` at most.
    pub async fn wait(&self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.wake.notified()).await;
    }

    /// Takes up what is due; nobody else does for `lapse`.
    pub async fn take_up(&self, lapse: Duration) -> Result<Vec<Delivery>, DbErr> {
        let now = self.db.now_sql();
        let sql = format!(
            "SELECT * FROM provider_callbacks WHERE settled_at IS NULL AND next_try_at <= {now}
             ORDER BY next_try_at, id LIMIT {BATCH}"
        );
        let rows = self.db.query(self.db.reader(), sql, []).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        // The tries read before are the guard: of two that saw the same row, one finds them grown.
        let sql = format!(
            "UPDATE provider_callbacks SET tries = tries + 1, next_try_at = {now} + $3
             WHERE id = $1 AND tries = $2 AND settled_at IS NULL"
        );
        let mut taken = Vec::with_capacity(rows.len());
        let transaction = self.db.begin().await?;
        for row in &rows {
            let mut delivery = delivery(row)?;
            let values: [Value; 3] = [delivery.id.into(), delivery.tries.into(), micros(lapse).into()];
            if self.db.execute(&transaction, &sql, values).await? == 1 {
                delivery.tries += 1;
                taken.push(delivery);
            }
        }
        transaction.commit().await?;
        Ok(taken)
    }

    /// Notes which deliveries were taken by the other side; the others are told again later, or given up.
    pub async fn settle(&self, deliveries: &[(Delivery, bool)]) -> Result<(), DbErr> {
        let now = self.db.now_sql();
        let settle = format!("UPDATE provider_callbacks SET settled_at = {now}, taken = $2 WHERE id = $1");
        let again = format!("UPDATE provider_callbacks SET copies = $2, next_try_at = {now} + $3 WHERE id = $1");
        let transaction = self.db.begin().await?;
        let at = self.db.now(&transaction).await?;
        for (delivery, taken) in deliveries {
            let age = (at - delivery.created_at).to_std().unwrap_or_default();
            let (copies, pause) =
                if *taken { (delivery.copies - 1, COPY_PAUSE) } else { (delivery.copies, pause(delivery.tries)) };
            if copies == 0 || (!taken && age > TOLD_FOR) {
                self.db.execute(&transaction, &settle, [delivery.id.into(), (*taken).into()]).await?;
            } else {
                let values: [Value; 3] = [delivery.id.into(), copies.into(), micros(pause).into()];
                self.db.execute(&transaction, &again, values).await?;
            }
        }
        transaction.commit().await
    }

    /// Forgets what was settled a week ago.
    pub async fn forget_old(&self) -> Result<u64, DbErr> {
        let sql = format!("DELETE FROM provider_callbacks WHERE settled_at < {} - $1", self.db.now_sql());
        self.db.execute(self.db.writer(), sql, [micros(KEPT).into()]).await
    }
}

fn pause(tries: i32) -> Duration {
    let doublings = u32::try_from(tries - 1).unwrap_or_default().min(20);
    RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_LONGEST)
}

fn columns(news: &News) -> (Option<RefundId>, Option<Money>, String) {
    match news {
        News::Approved { amount } | News::Captured { amount } => (None, Some(*amount), String::new()),
        News::Declined { code } | News::CaptureFailed { code } => (None, None, code.clone()),
        News::Voided => (None, None, String::new()),
        News::Refunded { refund, amount } => (Some(*refund), Some(*amount), String::new()),
        News::RefundFailed { refund, code } => (Some(*refund), None, code.clone()),
    }
}

fn delivery(row: &QueryResult) -> Result<Delivery, DbErr> {
    let id: Uuid = row.try_get("", "id")?;
    let event = ProviderEvent {
        id: format!("evt_{}", id.simple()),
        reference: row.try_get("", "reference")?,
        news: news(row)?,
    };
    Ok(Delivery {
        event,
        created_at: from_micros(row.try_get("", "created_at")?),
        id,
        copies: row.try_get("", "copies")?,
        tries: row.try_get("", "tries")?,
    })
}

fn news(row: &QueryResult) -> Result<News, DbErr> {
    let (word, code): (String, String) = (row.try_get("", "news")?, row.try_get("", "code")?);
    let refund = || row.try_get::<RefundId>("", "refund_id");
    Ok(match word.as_str() {
        "approved" => News::Approved { amount: money(row)? },
        "declined" => News::Declined { code },
        "captured" => News::Captured { amount: money(row)? },
        "capture_failed" => News::CaptureFailed { code },
        "voided" => News::Voided,
        "refunded" => News::Refunded { refund: refund()?, amount: money(row)? },
        "refund_failed" => News::RefundFailed { refund: refund()?, code },
        other => return Err(DbErr::Type(format!("provider_callbacks.news {other:?}"))),
    })
}
