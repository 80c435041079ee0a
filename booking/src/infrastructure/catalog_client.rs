//! The catalogue as booking sees it: offers by stream, facts by `ListFacts`.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MESSAGE_BYTES_MAX, MeshChannel, with_retry};
use common::ids::EventId;
use common::inbox::FactSource;
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use common::proto::catalog::v1::{ListFactsRequest, StreamOfferRequest, StreamOfferResponse};
use common::proto::common::v1::FactRecord;
use tonic::Code;
use uuid::Uuid;

use super::wire;
use crate::application::ports::{FetchedOffer, OfferSource};

/// Facts asked for at once.
const FACTS_PAGE: u32 = 200;

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

    async fn list(&self, request: ListFactsRequest) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        let caller = Caller::service(&*self.tokens).await?;
        let page = with_retry(|| {
            let mut client = self.client.clone();
            let request = caller.request(request.clone());
            async move { client.list_facts(request).await }
        })
        .await?;
        Ok((page.records, page.last_position.cast_signed(), page.has_more))
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

#[async_trait]
impl FactSource for CatalogClient {
    async fn of_aggregate(&self, aggregate: Uuid, after_sequence: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        let request = ListFactsRequest {
            aggregate_id: aggregate.to_string(),
            after_sequence: after_sequence.cast_unsigned(),
            after_position: 0,
            page_size: FACTS_PAGE,
        };
        let (records, _, more) = self.list(request).await?;
        Ok((records, more))
    }

    async fn after_position(&self, position: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        let after_position = position.cast_unsigned();
        self.list(ListFactsRequest { after_position, page_size: FACTS_PAGE, ..ListFactsRequest::default() }).await
    }
}
