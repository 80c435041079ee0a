//! The gateway over real HTTP and real gRPC, with scripted services behind it.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod auth;
mod cache;
mod drain;
mod embedded;
mod facts;
mod fakes;
mod http_rules;
mod identity;
mod limits;
mod loaders;
mod pages;
mod queries;
mod rate_limit;
mod redis_faults;
mod redis_server;
mod refunds;
mod refusals;
mod sales;
mod schema;
mod seat_map;
mod stuck;
mod tickets;
mod world;
