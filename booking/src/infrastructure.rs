//! Adapters: the store, the gRPC face, the catalogue as booking sees it, the ticket key, the wire forms.

pub mod catalog_client;
pub mod grpc;
pub mod store;
pub mod ticket_key;
pub mod wire;
