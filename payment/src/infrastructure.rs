//! Adapters: the database, gRPC in and out, providers, and their callbacks.

pub mod callbacks;
pub mod grpc;
pub mod provider;
pub mod read;
mod rows;
pub mod store;
