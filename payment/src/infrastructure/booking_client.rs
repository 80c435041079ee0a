//! Booking's `ListFacts`: where missing facts come from.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MeshChannel, with_retry};
use common::inbox::FactSource;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::proto::booking::v1::{ListFactsRequest, ListFactsResponse};
use common::proto::common::v1::FactRecord;
use uuid::Uuid;

/// Facts of one page.
const PAGE_SIZE: u32 = 500;

/// Asks booking for its facts, as a service.
pub struct BookingFacts {
    channel: MeshChannel,
    tokens: Arc<dyn ServiceTokens>,
}

impl BookingFacts {
    /// Asks at `http://host:port`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(address: &str, tokens: Arc<dyn ServiceTokens>) -> anyhow::Result<Self> {
        Ok(Self { channel: MeshChannel::new("booking", address)?, tokens })
    }

    async fn list(&self, request: ListFactsRequest) -> anyhow::Result<ListFactsResponse> {
        let caller = Caller::service(&*self.tokens).await?;
        let call = || {
            let mut client = BookingServiceClient::new(self.channel.clone());
            let request = caller.request(request.clone());
            async move { client.list_facts(request).await }
        };
        Ok(with_retry(call).await?)
    }
}

#[async_trait]
impl FactSource for BookingFacts {
    async fn of_aggregate(&self, aggregate: Uuid, after_sequence: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        let request = ListFactsRequest {
            aggregate_id: aggregate.to_string(),
            after_sequence: after_sequence.cast_unsigned(),
            after_position: 0,
            page_size: PAGE_SIZE,
        };
        let page = self.list(request).await?;
        Ok((page.records, page.has_more))
    }

    async fn after_position(&self, position: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        let request = ListFactsRequest {
            aggregate_id: String::new(),
            after_sequence: 0,
            after_position: position.cast_unsigned(),
            page_size: PAGE_SIZE,
        };
        let page = self.list(request).await?;
        Ok((page.records, page.last_position.cast_signed(), page.has_more))
    }
}
