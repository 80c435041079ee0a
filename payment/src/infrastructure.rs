//! Adapters: the database, gRPC in and out, and providers.

pub mod booking_client;
pub mod grpc;
pub mod provider;
pub mod read;
mod rows;
pub mod store;
