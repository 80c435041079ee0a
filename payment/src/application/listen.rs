//! What the provider tells unasked, taken in once per event: the event's row commits with its effect. It decides like an
//! answer of `status` would, so a provider that tells late, often or out of order changes nothing.

use std::sync::Arc;

use common::failpoint::{self, Step};
use sea_orm::DatabaseTransaction;
use tracing::instrument;

use super::alarm;
use super::ports::{Answer, Effect, PaymentStore, Provider, ProviderError, ProviderEvent, StoreError};
use super::steps::StepSettings;
use crate::domain::{News, Reference};

/// Who stands in the history.
const ACTOR: &str = "provider";

/// What became of a told event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was taken in now.
    First,
    /// It was taken in before.
    Again,
}

/// Why an event was not taken in. The provider tells it again.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// It could not be stored.
    #[error("the event could not be stored")]
    Store(#[from] StoreError),
    /// It tells of money held for nobody, which could not be let go.
    #[error("reference {reference} could not be let go: {reason}")]
    Held {
        /// Which one.
        reference: String,
        /// Why not.
        reason: String,
    },
}

/// Takes in what the provider tells.
pub struct Listener {
    store: Arc<dyn PaymentStore>,
    provider: Arc<dyn Provider>,
    settings: StepSettings,
}

impl Listener {
    /// Listens for a store; the provider is called for one thing only, to let go what nobody asked for.
    pub fn new(store: Arc<dyn PaymentStore>, provider: Arc<dyn Provider>, settings: StepSettings) -> Self {
        Self { store, provider, settings }
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// Nothing was stored; the event must be told again.
    #[instrument(name = "payment.hear", skip_all, fields(event.id = event.id, reference = event.reference, news = event.news.word()))]
    pub async fn hear(&self, event: &ProviderEvent) -> Result<Heard, ListenError> {
        let transaction = self.store.begin().await?;
        if !self.store.note_event(&transaction, event).await? {
            return Ok(Heard::Again);
        }
        let known = match Reference::parse(&event.reference) {
            Some((payment, attempt)) => self.store.lock(&transaction, payment).await?.map(|payment| (payment, attempt)),
            None => None,
        };
        let Some((payment, attempt)) = known else {
            drop(transaction);
            return self.hear_of_stranger(event).await;
        };

        let (id, now) = (payment.id, self.store.now(&transaction).await?);
        let decision = payment.hear(attempt, &event.news, &self.settings.patience, now);
        if !decision.is_empty() {
            self.store.write(&transaction, &decision, ACTOR).await?;
            self.store.settle_event(&transaction, &event.id, Effect::Applied).await?;
        }
        commit(transaction, event).await?;
        self.store.committed();
        alarm::raise(id, &decision.alarms);
        Ok(Heard::First)
    }

    /// A reference without a payment. Money held under one that looks like ours is let go, outside any transaction.
    async fn hear_of_stranger(&self, event: &ProviderEvent) -> Result<Heard, ListenError> {
        if let (News::Approved { .. }, Some((payment, attempt))) = (&event.news, Reference::parse(&event.reference)) {
            self.let_go(&Reference::of(payment, attempt)).await?;
        }
        let transaction = self.store.begin().await?;
        if !self.store.note_event(&transaction, event).await? {
            return Ok(Heard::Again);
        }
        self.store.settle_event(&transaction, &event.id, Effect::NotOurs).await?;
        commit(transaction, event).await?;
        if matches!(event.news, News::Approved { .. }) {
            alarm::unknown_reference(&event.reference);
        }
        Ok(Heard::First)
    }

    async fn let_go(&self, reference: &Reference) -> Result<(), ListenError> {
        let limit = self.settings.provider_timeout;
        let voiding = tokio::time::timeout(limit, self.provider.void(reference)).await;
        let reason = match voiding.unwrap_or(Err(ProviderError::Timeout(limit))) {
            Ok(Answer::Done) => return Ok(()),
            Ok(Answer::Refused { code }) => code,
            Ok(Answer::Pending) => "still undecided".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(ListenError::Held { reference: reference.to_string(), reason })
    }
}

async fn commit(transaction: DatabaseTransaction, event: &ProviderEvent) -> Result<(), StoreError> {
    Ok(failpoint::around(Step::Hear, [event.news.word()], transaction.commit()).await?)
}
