//! What is outside our control and tests fake: the catalogue as booking sees it.

use async_trait::async_trait;
use bytes::Bytes;
use common::ids::EventId;

use crate::domain::offer::Offer;

/// An offer as catalog sent it.
pub struct FetchedOffer {
    /// Decoded.
    pub offer: Offer,
    /// The bytes to keep.
    pub data: Bytes,
    /// Whether the event is cancelled by now.
    pub cancelled: bool,
}

/// Serves offers, each (event, version) for ever the same.
#[async_trait]
pub trait OfferSource: Send + Sync {
    /// One version, or with 0 the newest; `None` when there is none.
    async fn fetch(&self, event: EventId, version: i64) -> anyhow::Result<Option<FetchedOffer>>;
}
