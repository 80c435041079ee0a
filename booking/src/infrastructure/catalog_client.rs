//! The catalogue as booking sees it: offers by stream.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MESSAGE_BYTES_MAX, MeshChannel};
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
    /// A client of catalog at `http://host:port`; connects when used.
    pub fn new(address: &str, tokens: Arc<dyn ServiceTokens>) -> anyhow::Result<Self> {
        let client = CatalogServiceClient::new(MeshChannel::new("catalog", address)?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client, tokens })
    }
}

#[async_trait]
impl OfferSource for CatalogClient {
    async fn fetch(&self, event: EventId, version: i64) -> anyhow::Result<Option<FetchedOffer>> {
        let caller = Caller::service(&*self.tokens).await?;
        let request = StreamOfferRequest { event_id: event.to_string(), version: version.cast_unsigned() };
        let mut client = self.client.clone();
        let mut stream = match client.stream_offer(caller.request(request)).await {
            Ok(response) => response.into_inner(),
            Err(status) if status.code() == Code::NotFound => return Ok(None),
            Err(status) => return Err(status.into()),
        };
        let mut joined = StreamOfferResponse::default();
        while let Some(part) = stream.message().await? {
            joined.terms = joined.terms.or(part.terms);
            joined.seats.extend(part.seats);
        }
        Ok(Some(wire::fetched(joined)?))
    }
}
