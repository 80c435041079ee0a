//! Where catalog meets the outside: gRPC, the database, and booking.

pub mod booking_client;
pub mod grpc;
pub mod queries;
mod rows;
pub mod store;
mod streams;
mod text_search;
mod wire;
