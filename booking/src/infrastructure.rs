//! Adapters: the store, the gRPC face, catalog and payment as booking sees them, the ticket key, the wire forms.

pub mod catalog_client;
pub mod grpc;
pub mod payment_client;
pub mod store;
pub mod ticket_key;
pub mod wire;
