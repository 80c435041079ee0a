//! Payment against real databases, a scripted and the simulated provider, and real gRPC.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod api;
mod callbacks;
mod contract;
mod indexes;
mod lies;
mod lives;
mod scripted;
mod service;
mod simulated;
mod steps;
mod store;
mod support;
mod tokens;
