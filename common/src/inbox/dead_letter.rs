//! Records that need a person: put aside once each, and what a person decided about them carried out.

use sea_orm::{DatabaseTransaction, DbErr, QueryResult};
use uuid::Uuid;

use super::Consumer;
use super::intake::{Place, Received, Taken};
use crate::error::chain;
use crate::fact::Fact;
use crate::failpoint::{self, Step};
use crate::ids::FactId;
use crate::telemetry::{self, Carrier};

/// Where a record stood that did not come by the log.
const NOWHERE: (i32, i64) = (-1, -1);

impl Consumer {
    /// Puts a record aside, in the transaction that moves the offset. A record that waits for a person already, or has taken
    /// effect meanwhile, is only passed.
    pub(super) async fn dead_letter(
        &self,
        received: &Received<'_>,
        fact: Option<&Fact>,
        error: &str,
    ) -> Result<Taken, DbErr> {
        let transaction = self.db.begin().await?;
        let fresh = match fact {
            Some(fact) => self.waits_for_nobody(&transaction, received, fact).await?,
            None => self.unreadable_is_new(&transaction, received).await?,
        };
        if fresh {
            self.insert_dead_letter(&transaction, received, fact, error).await?;
        }
        if !self.advance(&transaction, received, fact).await? {
            return Ok(Taken::LeaseLost);
        }
        failpoint::around(Step::PutAside, [self.producer], transaction.commit()).await?;
        if fresh {
            tracing::error!(consumer = self.name, topic = self.topic, error, "dead letter");
            telemetry::count("eventix_dead_letters", self.name, self.producer);
        }
        Ok(Taken::DeadLettered)
    }

    /// Whether a fact has neither taken effect nor a letter already; if so it no longer counts as parked.
    async fn waits_for_nobody(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
        fact: &Fact,
    ) -> Result<bool, DbErr> {
        let watermark = self.lock_watermark(transaction, fact.aggregate_id).await?;
        let earliest = self.earliest_dead_letter(transaction, received, fact).await?;
        if fact.sequence <= watermark || earliest == Some(fact.sequence) {
            return Ok(false);
        }
        let sql = "DELETE FROM parked WHERE consumer = $1 AND producer = $2 AND aggregate_id = $3 AND sequence = $4";
        let values = [self.name.into(), self.producer.into(), fact.aggregate_id.into(), fact.sequence.into()];
        self.db.execute(transaction, sql, values).await?;
        Ok(true)
    }

    /// A record on the log is passed once; one that is told aside comes again with every asking.
    async fn unreadable_is_new(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
    ) -> Result<bool, DbErr> {
        if !matches!(received.place, Place::Aside) {
            return Ok(true);
        }
        let sql = "SELECT id FROM dead_letters WHERE consumer = $1 AND producer = $2 AND aggregate_id IS NULL
            AND settled_at IS NULL AND value = $3 LIMIT 1";
        let values = [self.name.into(), self.producer.into(), received.value.to_vec().into()];
        Ok(self.db.query(transaction, sql, values).await?.is_empty())
    }

    /// The sequence of the earliest dead letter, up to this fact, that holds its aggregate up.
    pub(super) async fn earliest_dead_letter(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
        fact: &Fact,
    ) -> Result<Option<i64>, DbErr> {
        let own = match received.place {
            Place::Requeued { letter } => letter,
            Place::Log { .. } | Place::Aside => Uuid::nil(),
        };
        let sql = "SELECT min(sequence) AS earliest FROM dead_letters WHERE consumer = $1 AND producer = $2
            AND aggregate_id = $3 AND settled_at IS NULL AND sequence <= $4 AND id <> $5";
        let values =
            [self.name.into(), self.producer.into(), fact.aggregate_id.into(), fact.sequence.into(), own.into()];
        let rows = self.db.query(transaction, sql, values).await?;
        rows.first().map_or(Ok(None), |row| row.try_get("", "earliest"))
    }

    async fn insert_dead_letter(
        &self,
        transaction: &DatabaseTransaction,
        received: &Received<'_>,
        fact: Option<&Fact>,
        error: &str,
    ) -> Result<(), DbErr> {
        let (partition, offset) = match received.place {
            Place::Log { reader, offset } => (reader.partition, offset),
            Place::Aside | Place::Requeued { .. } => NOWHERE,
        };
        let sql = format!(
            "INSERT INTO dead_letters (id, consumer, producer, aggregate_id, sequence, log_partition, log_offset, record_key,
                value, headers, error, status, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'open', {})",
            self.db.now_sql()
        );
        let values = [
            FactId::new().into(),
            self.name.into(),
            self.producer.into(),
            fact.map(|f| f.aggregate_id).into(),
            fact.map(|f| f.sequence).into(),
            partition.into(),
            offset.into(),
            received.key.map(<[u8]>::to_vec).into(),
            received.value.to_vec().into(),
            received.headers_json().into(),
            error.into(),
        ];
        self.db.execute(transaction, sql, values).await?;
        Ok(())
    }

    /// Carries out what a person decided, oldest decision first.
    pub(super) async fn settle_dead_letters(&self) -> anyhow::Result<()> {
        let sql = "SELECT id, status, aggregate_id, sequence, value, headers FROM dead_letters
            WHERE consumer = $1 AND producer = $2 AND status <> 'open' AND settled_at IS NULL ORDER BY created_at, id";
        for row in self.db.query(self.db.reader(), sql, [self.name.into(), self.producer.into()]).await? {
            let status: String = row.try_get("", "status")?;
            if status == "requeued" {
                self.requeue(&row).await?;
            } else {
                self.discard(&row).await?;
            }
        }
        Ok(())
    }

    /// Takes a letter in once more and settles it in the same transaction; failing again makes a new letter of it.
    async fn requeue(&self, row: &QueryResult) -> Result<(), DbErr> {
        let letter: Uuid = row.try_get("", "id")?;
        let (value, headers): (Option<Vec<u8>>, String) = (row.try_get("", "value")?, row.try_get("", "headers")?);
        let value = value.unwrap_or_default();
        let headers = serde_json::from_str(&headers).unwrap_or_default();
        let received = Received { key: None, value: &value, headers, place: Place::Requeued { letter } };
        if let Some(taken) = self.take_unhurried(&received).await? {
            tracing::info!(dead_letter.id = %letter, ?taken, "dead letter {letter} requeued");
        }
        Ok(())
    }

    /// Leaves a fact out: its aggregate's later facts may follow. Facts before it are never skipped.
    async fn discard(&self, row: &QueryResult) -> Result<(), DbErr> {
        let letter: Uuid = row.try_get("", "id")?;
        let (aggregate, sequence): (Option<Uuid>, Option<i64>) =
            (row.try_get("", "aggregate_id")?, row.try_get("", "sequence")?);
        let transaction = self.db.begin().await?;
        if let (Some(aggregate), Some(sequence)) = (aggregate, sequence) {
            let watermark = self.lock_watermark(&transaction, aggregate).await?;
            if watermark + 1 < sequence {
                return transaction.rollback().await;
            }
            if watermark + 1 == sequence {
                self.set_watermark(&transaction, aggregate, sequence).await?;
            }
        }
        if self.settle(&transaction, letter).await? {
            transaction.commit().await?;
            tracing::info!(dead_letter.id = %letter, "dead letter {letter} discarded");
        }
        Ok(())
    }

    /// Marks a decision as carried out; false when another process was faster.
    pub(super) async fn settle(&self, transaction: &DatabaseTransaction, letter: Uuid) -> Result<bool, DbErr> {
        let sql =
            format!("UPDATE dead_letters SET settled_at = {} WHERE id = $1 AND settled_at IS NULL", self.db.now_sql());
        Ok(self.db.execute(transaction, sql, [letter.into()]).await? == 1)
    }

    /// Takes what did not come by the log. A handler that fails for now is tried again later, and for long enough makes it a
    /// dead letter; `None` then and until then.
    pub(super) async fn take_unhurried(&self, received: &Received<'_>) -> Result<Option<Taken>, DbErr> {
        let Ok(fact) = Fact::decode(received.value, Carrier::new()) else {
            return self.take(received).await.map(Some);
        };
        if !self.handling.due(fact.aggregate_id) {
            return Ok(None);
        }
        let error = match self.take(received).await {
            Ok(taken) => {
                self.handling.moved(fact.aggregate_id);
                return Ok(Some(taken));
            }
            Err(error) => error,
        };
        // An error of the database itself is nobody's fault but the database's.
        self.db.now(self.db.writer()).await?;
        let failing_for = self.handling.failed(fact.aggregate_id);
        tracing::warn!(consumer = self.name, fact.id = %fact.id, error = %chain(&error), "fact {} not taken yet", fact.id);
        if failing_for <= self.settings.patience {
            return Ok(None);
        }
        self.handling.moved(fact.aggregate_id);
        self.dead_letter(received, Some(&fact), &chain(&error)).await.map(Some)
    }
}
