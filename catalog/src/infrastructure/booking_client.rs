//! Booking, as the holder of offers.

use std::sync::Arc;

use async_trait::async_trait;
use common::auth::ServiceTokens;
use common::grpc::{Caller, MeshChannel};
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
    /// A client of the booking service at `http://host:port`.
    ///
    /// # Errors
    /// The address is none.
    pub fn new(endpoint: &str, tokens: Arc<dyn ServiceTokens>) -> anyhow::Result<Self> {
        Ok(Self { client: BookingServiceClient::new(MeshChannel::new("booking", endpoint)?), tokens })
    }
}

#[async_trait]
impl OfferHolder for BookingClient {
    async fn ensure(&self, event: EventId, version: i64) -> anyhow::Result<()> {
        let caller = Caller::service(&*self.tokens).await?;
        let wanted = EnsureOfferRequest { event_id: event.to_string(), version: version.cast_unsigned() };
        let held = self.client.clone().ensure_offer(caller.request(wanted)).await?.into_inner().version;
        anyhow::ensure!(held >= version.cast_unsigned(), "booking holds version {held}, not {version}");
        Ok(())
    }

    async fn stop(&self, event: EventId) -> anyhow::Result<()> {
        let caller = Caller::service(&*self.tokens).await?;
        let cancelled = StopSellingRequest { event_id: event.to_string() };
        self.client.clone().stop_selling(caller.request(cancelled)).await?;
        Ok(())
    }
}
