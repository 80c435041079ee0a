//! What the provider told: one row per event, committed with its effect, so that it takes effect once.

use std::time::Duration;

use sea_orm::{DatabaseTransaction, Value};

use super::SqlStore;
use super::claims::micros;
use crate::application::ports::{Effect, ProviderEvent, StoreError};

impl SqlStore {
    /// False when the event is known. A twin under way is waited for.
    pub(super) async fn insert_event(
        &self,
        transaction: &DatabaseTransaction,
        event: &ProviderEvent,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO provider_events (id, reference, news, effect, received_at) VALUES ($1, $2, $3, $4, {})
             ON CONFLICT (id) DO NOTHING",
            self.db.now_sql()
        );
        let values: [Value; 4] = [
            event.id.clone().into(),
            event.reference.clone().into(),
            event.news.word().into(),
            word(Effect::None).into(),
        ];
        Ok(self.db.execute(transaction, sql, values).await? == 1)
    }

    pub(super) async fn update_event(
        &self,
        transaction: &DatabaseTransaction,
        id: &str,
        effect: Effect,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE provider_events SET effect = $2 WHERE id = $1";
        self.db.execute(transaction, sql, [id.into(), word(effect).into()]).await?;
        Ok(())
    }

    pub(super) async fn delete_events(&self, age: Duration) -> Result<u64, StoreError> {
        let sql = format!("DELETE FROM provider_events WHERE received_at < {} - $1", self.db.now_sql());
        Ok(self.db.execute(self.db.writer(), sql, [micros(age).into()]).await?)
    }
}

fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::Applied => "applied",
        Effect::None => "none",
        Effect::NotOurs => "not_ours",
    }
}
