//! Keeps offers at hand: fetched when a fact spoke of one, and on first touch. Apart from that no sale needs catalog.

use std::sync::Arc;
use std::time::Duration;

use common::error::chain;
use common::ids::EventId;
use common::runtime::Shutdown;
use sea_orm::DbErr;
use tokio::sync::{Mutex, Notify};

use super::ports::OfferSource;
use crate::domain::offer::Offer;
use crate::infrastructure::store::Store;

/// How often wanted offers are looked for without being woken.
const ROUND: Duration = Duration::from_secs(1);
/// How long one fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Why an offer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// Catalog knows no such offer.
    #[error("no such event")]
    NotFound,
    /// Catalog did not answer.
    #[error("catalog cannot be asked for the offer")]
    Catalog(#[source] anyhow::Error),
    /// The database's fault.
    #[error("the database failed")]
    Db(#[from] DbErr),
}

/// The offers booking sells from.
pub struct Offers {
    store: Arc<Store>,
    source: Arc<dyn OfferSource>,
    /// One fetch at a time: offers are big, and a crowd at a new event wants the same one.
    fetching: Mutex<()>,
    wanted: Notify,
}

impl Offers {
    /// Offers from `source`, kept in `store`.
    pub fn new(store: Arc<Store>, source: Arc<dyn OfferSource>) -> Self {
        Self { store, source, fetching: Mutex::new(()), wanted: Notify::new() }
    }

    /// Tells the fetcher that an offer is wanted.
    pub fn wake(&self) {
        self.wanted.notify_one();
    }

    /// The current offer of an event, fetched on first touch.
    pub async fn current(&self, event: EventId) -> Result<Arc<Offer>, OfferError> {
        if let Some(offer) = self.held(event, 1).await? {
            return Ok(offer);
        }
        self.fetch(event, 1, |_| true).await
    }

    /// An offer of at least `version`, fetched if need be.
    pub async fn at_least(&self, event: EventId, version: i64) -> Result<Arc<Offer>, OfferError> {
        match self.held(event, version).await? {
            Some(offer) => Ok(offer),
            None => self.fetch(event, version, |_| true).await,
        }
    }

    /// An offer of at least `version` that says where its seats stand; one kept since before catalog told is fetched again.
    pub async fn with_hall(&self, event: EventId, version: i64) -> Result<Arc<Offer>, OfferError> {
        let told = |offer: &Offer| offer.hall.is_some() || offer.seats.is_empty();
        match self.held(event, version).await? {
            Some(offer) if told(&offer) => Ok(offer),
            Some(_) | None => self.fetch(event, version, told).await,
        }
    }

    async fn held(&self, event: EventId, at_least: i64) -> Result<Option<Arc<Offer>>, OfferError> {
        match self.store.known_event(event).await? {
            Some(known) if known.offer_version >= at_least => Ok(self.store.offer(event, known.offer_version).await?),
            Some(_) | None => Ok(None),
        }
    }

    async fn fetch(
        &self,
        event: EventId,
        at_least: i64,
        will_do: impl Fn(&Offer) -> bool + Send,
    ) -> Result<Arc<Offer>, OfferError> {
        let _one = self.fetching.lock().await;
        if let Some(offer) = self.held(event, at_least).await?
            && will_do(&offer)
        {
            return Ok(offer);
        }
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, self.source.fetch(event, 0)).await;
        let fetched = fetched.map_err(|e| OfferError::Catalog(e.into()))?.map_err(OfferError::Catalog)?;
        let fetched = fetched.filter(|f| f.offer.terms.version >= at_least).ok_or(OfferError::NotFound)?;
        tracing::debug!(event.id = %event, version = fetched.offer.terms.version, "offer of event {event} fetched");
        self.store.keep_offer(fetched.offer, fetched.data, fetched.cancelled).await?;
        self.held(event, at_least).await?.ok_or(OfferError::NotFound)
    }

    /// Fetches what facts spoke of, until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) -> anyhow::Result<()> {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "wanted offers cannot be read");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.wanted.notified() => {}
                () = tokio::time::sleep(ROUND) => {}
            }
        }
        Ok(())
    }

    /// Fetches what is wanted now.
    async fn round(&self) -> Result<(), DbErr> {
        for (event, version) in self.store.wanted_offers().await? {
            // One offer that cannot be had must not keep the others waiting.
            if let Err(error) = self.at_least(event, version).await {
                tracing::warn!(event.id = %event, version, error = %chain(&error), "offer of event {event} not fetched yet");
            }
        }
        Ok(())
    }
}
