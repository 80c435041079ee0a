//! The three services, as the gateway calls them.

use common::grpc::MeshChannel;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use common::proto::payment::v1::payment_service_client::PaymentServiceClient;
use tonic_health::pb::health_client::HealthClient;

use crate::config::Config;

/// Clients of the services; cheap to clone, connected lazily.
#[derive(Clone)]
pub struct Clients {
    /// What can be sold.
    pub catalog: CatalogServiceClient<MeshChannel>,
    /// Who holds and has what.
    pub booking: BookingServiceClient<MeshChannel>,
    /// Where the money is.
    pub payment: PaymentServiceClient<MeshChannel>,
    /// Short name, full protobuf name and health client of each service.
    pub health: [(&'static str, &'static str, HealthClient<MeshChannel>); 3],
}

impl Clients {
    /// Clients of the configured endpoints.
    ///
    /// # Errors
    /// An endpoint that is no address.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let catalog = MeshChannel::new("catalog", config.catalog.endpoints.all())?;
        let booking = MeshChannel::new("booking", config.booking.endpoints.all())?;
        let payment = MeshChannel::new("payment", config.payment.endpoints.all())?;
        Ok(Self {
            health: [
                ("catalog", "eventix.catalog.v1.CatalogService", HealthClient::new(catalog.clone())),
                ("booking", "eventix.booking.v1.BookingService", HealthClient::new(booking.clone())),
                ("payment", "eventix.payment.v1.PaymentService", HealthClient::new(payment.clone())),
            ],
            catalog: CatalogServiceClient::new(catalog),
            booking: BookingServiceClient::new(booking),
            payment: PaymentServiceClient::new(payment),
        })
    }
}

/// Calls a method, again only while its service cannot have begun: writes without a request id.
macro_rules! call {
    ($client:expr, $method:ident, $caller:expr, $message:expr) => {
        $crate::clients::call_by!(common::grpc::with_retry_unless_begun, $client, $method, $caller, $message)
    };
}

/// Calls a method again while its service is unavailable: reads, and writes that carry a request id.
macro_rules! call_retried {
    ($client:expr, $method:ident, $caller:expr, $message:expr) => {
        $crate::clients::call_by!(common::grpc::with_retry, $client, $method, $caller, $message)
    };
}

macro_rules! call_by {
    ($again:path, $client:expr, $method:ident, $caller:expr, $message:expr) => {{
        let message = $message;
        $again(|| {
            let mut client = $client.clone();
            let request = $caller.request(message.clone());
            async move { client.$method(request).await }
        })
        .await
    }};
}

/// Calls a writing method: again while its service is unavailable if its message has a request id, else once, because an
/// answer that was lost would come back as a refusal.
macro_rules! call_keyed {
    ($client:expr, $method:ident, $caller:expr, $message:expr) => {{
        let message = $message;
        if message.request_id.is_empty() {
            crate::clients::call!($client, $method, $caller, message)
        } else {
            crate::clients::call_retried!($client, $method, $caller, message)
        }
    }};
}

pub(crate) use {call, call_by, call_keyed, call_retried};
