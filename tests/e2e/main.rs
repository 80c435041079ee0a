//! End to end: the product as a process, GraphQL and gRPC from outside, and `eventix audit` at the end.

#![expect(clippy::unwrap_used, reason = "a test stops at anything unexpected")]
#![expect(clippy::disallowed_methods, reason = "customers are tasks, and tests may look at the machine's clock")]

#[path = "../harness/mod.rs"]
mod harness;

mod buying;
mod client;
mod crash;
mod crowd;
mod issuer;
mod money;
mod provider;
mod refunds;
mod trace;
