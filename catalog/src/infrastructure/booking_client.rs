//! Booking, as the holder of offers.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MeshChannel, with_retry};
use common::ids::EventId;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::proto::booking::v1::{EnsureOfferRequest, StopSellingRequest};

use crate::application::ports::OfferHolder;

/// Speaks to booking over gRPC, with a service token of our own.
pub struct BookingClient {
    client: BookingServiceClient<MeshChannel>,
    tokens: Arc<dyn ServiceTokens>,
}

impl BookingClient {
    /// A client over a channel to booking.
    pub fn new(channel: MeshChannel, tokens: Arc<dyn ServiceTokens>) -> Self {
        Self { client: BookingServiceClient::new(channel), tokens }
    }
}

#[async_trait]
impl OfferHolder for BookingClient {
    async fn ensure(&self, event: EventId, version: i64) -> anyhow::Result<()> {
        let caller = Caller::service(&*self.tokens).await?;
        let wanted = EnsureOfferRequest { event_id: event.to_string(), version: version.cast_unsigned() };
        let call = || {
            let mut client = self.client.clone();
            let request = caller.request(wanted.clone());
            async move { client.ensure_offer(request).await }
        };
        let held = with_retry(call).await?.version;
        anyhow::ensure!(held >= version.cast_unsigned(), "booking holds version {held}, not {version}");
        Ok(())
    }

    async fn stop(&self, event: EventId) -> anyhow::Result<()> {
        let caller = Caller::service(&*self.tokens).await?;
        let cancelled = StopSellingRequest { event_id: event.to_string() };
        let call = || {
            let mut client = self.client.clone();
            let request = caller.request(cancelled.clone());
            async move { client.stop_selling(request).await }
        };
        with_retry(call).await?;
        Ok(())
    }
}
