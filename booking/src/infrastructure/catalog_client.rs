//! The catalogue as booking sees it: offers by stream.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MESSAGE_BYTES_MAX, MeshChannel, with_retry};
use common::ids::EventId;
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use common::proto::catalog::v1::{StreamOfferRequest, StreamOfferResponse};
use tonic::Code;

use super::wire;
use crate::application::ports::{FetchedOffer, OfferSource};

/// Calls catalog with a service token.
pub struct CatalogClient {
    client: CatalogServiceClient<MeshChannel>,
    tokens: Arc<dyn ServiceTokens>,
}

impl CatalogClient {
    /// A client over a channel to catalog.
    pub fn new(channel: MeshChannel, tokens: Arc<dyn ServiceTokens>) -> Self {
        let client = CatalogServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { client, tokens }
    }
}

#[async_trait]
impl OfferSource for CatalogClient {
    async fn fetch(&self, event: EventId, version: i64) -> anyhow::Result<Option<FetchedOffer>> {
        let caller = Caller::service(&*self.tokens).await?;
        let request = StreamOfferRequest { event_id: event.to_string(), version: version.cast_unsigned() };
        let call = || {
            let mut client = self.client.clone();
            let request = caller.request(request.clone());
            async move { client.stream_offer(request).await }
        };
        let mut stream = match with_retry(call).await {
            Ok(stream) => stream,
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(status.into()),
        };
        let mut joined = StreamOfferResponse::default();
        while let Some(part) = stream.message().await? {
            joined.terms = joined.terms.or(part.terms);
            joined.rows.extend(part.rows);
            joined.seats.extend(part.seats);
        }
        Ok(Some(wire::fetched(joined)?))
    }
}
