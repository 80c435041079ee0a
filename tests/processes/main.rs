//! The product as a deployment has it: each service a process of its own, settings from the environment, real databases.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

#[allow(dead_code, reason = "each test binary uses its own part of the client")]
#[path = "../e2e/client.rs"]
mod client;
mod deployment;
#[path = "../harness/mod.rs"]
mod harness;

mod folder;
mod migrating;
mod production;
mod readme;
mod roles;
