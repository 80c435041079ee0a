//! Payment against real databases, a scripted and the simulated provider, and real gRPC.

mod api;
mod scripted;
mod service;
mod simulated;
mod steps;
mod store;
mod support;
