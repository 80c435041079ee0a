//! `ListFacts`: how a producer tells its facts again, and how a consumer asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::auth::ServiceTokens;
use crate::error::{ErrorKind, status};
use crate::grpc::{Caller, MESSAGE_BYTES_MAX, MeshChannel, with_retry};
use crate::inbox::FactSource;
use crate::outbox::{Listing, Outbox};
use crate::proto::common::v1::fact_service_client::FactServiceClient;
use crate::proto::common::v1::fact_service_server::{FactService, FactServiceServer};
use crate::proto::common::v1::{FactRecord, ListFactsRequest, ListFactsResponse};

/// Most facts of one page.
const PAGE_SIZE_MAX: u32 = 500;

/// Serves an outbox.
pub struct FactApi {
    outbox: Outbox,
}

impl FactApi {
    /// The service to add to a producer's server; its access table names `ListFacts`.
    pub fn service(outbox: Outbox) -> FactServiceServer<Self> {
        FactServiceServer::new(Self { outbox })
    }
}

#[tonic::async_trait]
impl FactService for FactApi {
    async fn list_facts(&self, request: Request<ListFactsRequest>) -> Result<Response<ListFactsResponse>, Status> {
        let request = request.into_inner();
        if !(1..=PAGE_SIZE_MAX).contains(&request.page_size) {
            let message = format!("page_size must be 1 to {PAGE_SIZE_MAX}");
            let field = Some("page_size".into());
            return Err(status(ErrorKind::InvalidInput, "INVALID_INPUT", message, field, Default::default()));
        }
        let listing = match request.aggregate_id.as_str() {
            "" => Listing::From(saturated(request.after_position)),
            // No fact has the nil id: a malformed id is answered like an unknown one.
            id => Listing::Aggregate(Uuid::try_parse(id).unwrap_or_default(), saturated(request.after_sequence)),
        };
        let listed = self.outbox.list(listing, request.page_size).await.map_err(|error| {
            tracing::error!(%error, "facts cannot be listed");
            status(ErrorKind::Internal, "INTERNAL", "internal error", None, Default::default())
        })?;
        Ok(Response::new(ListFactsResponse {
            records: listed.records,
            last_position: listed.last_position.cast_unsigned(),
            has_more: listed.has_more,
        }))
    }
}

fn saturated(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Asks a producer for its facts, as a service.
pub struct PeerFacts {
    client: FactServiceClient<MeshChannel>,
    tokens: Arc<dyn ServiceTokens>,
}

impl PeerFacts {
    /// Asks over a channel to the producer.
    pub fn new(channel: MeshChannel, tokens: Arc<dyn ServiceTokens>) -> Arc<Self> {
        let client = FactServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Arc::new(Self { client, tokens })
    }

    async fn list(&self, request: ListFactsRequest) -> anyhow::Result<ListFactsResponse> {
        let caller = Caller::service(&*self.tokens).await?;
        let call = || {
            let mut client = self.client.clone();
            let request = caller.request(request.clone());
            async move { client.list_facts(request).await }
        };
        Ok(with_retry(call).await?)
    }
}

#[async_trait]
impl FactSource for PeerFacts {
    async fn of_aggregate(&self, aggregate: Uuid, after_sequence: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        let page = self
            .list(ListFactsRequest {
                aggregate_id: aggregate.to_string(),
                after_sequence: after_sequence.cast_unsigned(),
                after_position: 0,
                page_size: PAGE_SIZE_MAX,
            })
            .await?;
        Ok((page.records, page.has_more))
    }

    async fn after_position(&self, position: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        let after_position = position.cast_unsigned();
        let request = ListFactsRequest { after_position, page_size: PAGE_SIZE_MAX, ..ListFactsRequest::default() };
        let page = self.list(request).await?;
        Ok((page.records, page.last_position.cast_signed(), page.has_more))
    }
}
