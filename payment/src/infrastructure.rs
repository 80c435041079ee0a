//! Adapters: the database, gRPC in and out, and providers.

pub mod grpc;
pub mod provider;
pub mod read;
mod rows;
pub mod store;
