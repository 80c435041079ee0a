//! End to end: the product as a process, GraphQL and gRPC from outside, and `eventix audit` at the end.

#[path = "../harness/mod.rs"]
mod harness;

mod buying;
mod client;
mod crash;
mod crowd;
mod trace;
