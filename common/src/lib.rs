//! What two or more Eventix services share. A thing enters when a second service needs it.
//!
//! - [`proto`]: the contracts, compiled from `proto/`; [`ids`], [`money`], [`clock`]: the words they are made of
//! - [`error`]: refusals and their way over gRPC; [`auth`]: tokens to principals; [`dev_issuer`]: tokens for the embedded run;
//!   [`oidc`]: identity for production; [`tls`]: TLS of outgoing connections
//! - [`test_token`]: payment tokens with a chosen outcome
//! - [`grpc`], [`layers`]: the one server builder and the one client channel; [`telemetry`]: logs, traces, metrics
//! - [`settings`], [`runtime`]: layered settings, named tasks and shutdown; [`health`], [`admin`]: whether a process works, and who is told
//! - [`db`], [`schema`], [`tables`], [`requests`], [`history`]: SQLite or PostgreSQL, and the tables every service has
//! - `testing` (a feature): databases for tests; [`failpoint`]: where tests strike
//! - [`fact`], [`fact_service`], [`outbox`], [`inbox`], [`bus`], [`lease`], [`messaging`]: messages out and in

pub mod admin;
pub mod auth;
pub mod bus;
pub mod clock;
pub mod db;
pub mod dev_issuer;
pub mod error;
pub mod fact;
pub mod fact_service;
pub mod failpoint;
pub mod grpc;
pub mod health;
pub mod history;
pub mod ids;
pub mod inbox;
pub mod layers;
pub mod lease;
pub mod messaging;
pub mod money;
pub mod oidc;
pub mod outbox;
pub mod page;
pub mod proto;
pub mod requests;
pub mod runtime;
pub mod schema;
pub mod settings;
pub mod tables;
pub mod telemetry;
pub mod test_token;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;
