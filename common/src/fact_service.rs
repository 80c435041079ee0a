//! `ListFacts` and `ListHeads`: how a producer tells its facts again, and how a consumer asks for them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::auth::ServiceTokens;
use crate::error::{ErrorKind, status, to_status};
use crate::grpc::{Caller, MESSAGE_BYTES_MAX, MeshChannel, with_retry};
use crate::inbox::{FactSource, HeadsTold};
use crate::outbox::{Listing, Outbox};
use crate::page;
use crate::proto::common::v1::fact_service_client::FactServiceClient;
use crate::proto::common::v1::fact_service_server::{FactService, FactServiceServer};
use crate::proto::common::v1::{
    FactRecord, Head, ListFactsRequest, ListFactsResponse, ListHeadsRequest, ListHeadsResponse,
};

/// Most facts of one page.
const PAGE_SIZE_MAX: u32 = 500;

/// Serves an outbox.
pub struct FactApi {
    outbox: Outbox,
}

impl FactApi {
    /// The service to add to a producer's server; its access table names `ListFacts` and `ListHeads`.
    pub fn service(outbox: Outbox) -> FactServiceServer<Self> {
        FactServiceServer::new(Self { outbox })
    }
}

#[tonic::async_trait]
impl FactService for FactApi {
    async fn list_facts(&self, request: Request<ListFactsRequest>) -> Result<Response<ListFactsResponse>, Status> {
        let request = request.into_inner();
        if !(1..=PAGE_SIZE_MAX).contains(&request.page_size) {
            return Err(invalid("page_size", format!("page_size must be 1 to {PAGE_SIZE_MAX}")));
        }
        let listing = match request.aggregate_id.as_str() {
            "" => Listing::From(saturated(request.after_position)),
            // No fact has the nil id: a malformed id is answered like an unknown one.
            id => Listing::Aggregate(Uuid::try_parse(id).unwrap_or_default(), saturated(request.after_sequence)),
        };
        let listed = self.outbox.list(listing, request.page_size).await.map_err(|error| to_status(&error))?;
        Ok(Response::new(ListFactsResponse {
            records: listed.records,
            last_position: listed.last_position.cast_unsigned(),
            has_more: listed.has_more,
        }))
    }

    async fn list_heads(&self, request: Request<ListHeadsRequest>) -> Result<Response<ListHeadsResponse>, Status> {
        let ListHeadsRequest { cursor, settled_ms } = request.into_inner();
        let from = match cursor.as_str() {
            "" => None,
            cursor => Some(page::key(cursor).ok_or_else(|| invalid("cursor", "not a cursor of this list"))?),
        };
        let settled_for = Duration::from_millis(settled_ms);
        let page = self.outbox.heads(from, settled_for).await.map_err(|error| to_status(&error))?;
        let head =
            |(id, sequence): (Uuid, i64)| Head { aggregate_id: id.to_string(), sequence: sequence.cast_unsigned() };
        Ok(Response::new(ListHeadsResponse {
            heads: page.heads.into_iter().map(head).collect(),
            cursor: page::token(&page.next),
            has_more: page.has_more,
        }))
    }
}

fn invalid(field: &str, message: impl Into<String>) -> Status {
    status(ErrorKind::InvalidInput, "INVALID_INPUT", message, Some(field.into()), Default::default())
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

    async fn heads(&self, cursor: &str, settled_for: Duration) -> anyhow::Result<HeadsTold> {
        let settled_ms = u64::try_from(settled_for.as_millis()).unwrap_or(u64::MAX);
        let request = ListHeadsRequest { cursor: cursor.to_owned(), settled_ms };
        let caller = Caller::service(&*self.tokens).await?;
        let call = || {
            let mut client = self.client.clone();
            let request = caller.request(request.clone());
            async move { client.list_heads(request).await }
        };
        let page = with_retry(call).await?;
        let head = |head: &Head| Some((Uuid::try_parse(&head.aggregate_id).ok()?, head.sequence.cast_signed()));
        let heads = page.heads.iter().filter_map(head).collect();
        Ok(HeadsTold { heads, cursor: page.cursor, has_more: page.has_more })
    }
}
