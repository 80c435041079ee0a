//! Payment as booking sees it: only its facts, by `ListFacts`.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MESSAGE_BYTES_MAX, MeshChannel, with_retry};
use common::inbox::FactSource;
use common::proto::common::v1::FactRecord;
use common::proto::payment::v1::ListFactsRequest;
use common::proto::payment::v1::payment_service_client::PaymentServiceClient;
use uuid::Uuid;

/// Facts asked for at once.
const FACTS_PAGE: u32 = 200;

/// Calls payment with a service token.
pub struct PaymentClient {
    client: PaymentServiceClient<MeshChannel>,
    tokens: Arc<dyn ServiceTokens>,
}

impl PaymentClient {
    /// A client of payment at `http://host:port`; connects when used.
    pub fn new(address: &str, tokens: Arc<dyn ServiceTokens>) -> anyhow::Result<Self> {
        let client = PaymentServiceClient::new(MeshChannel::new("payment", address)?)
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
impl FactSource for PaymentClient {
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
