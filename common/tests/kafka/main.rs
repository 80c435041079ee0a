//! The log on Apache Kafka: the contract every broker meets, facts through it, and leaders that die or freeze under load.
//! The brokers come from outside: run it through `tests/kafka` at the root of the workspace.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod cluster;
#[path = "../it/contract.rs"]
mod contract;
mod flow;
mod leaders;
mod log;
mod metadata;
mod secure;
#[allow(dead_code, reason = "shared with the tests that need all of it")]
#[path = "../it/world.rs"]
mod world;
