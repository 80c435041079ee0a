//! The mesh between real servers. Messages out and in, as services use them: the log on two brokers, leases, outbox, relay and
//! inbox on two databases. And identity as production has it, with an issuer in the tests' hands.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod brokers;
mod bus;
mod cloud_events;
mod contract;
mod dead_letters;
mod faults;
mod flow;
mod gaps;
mod golden;
mod identity;
mod indexes;
mod intake;
mod leases;
mod mesh;
mod offsets;
mod outbox;
mod requests;
mod secure;
mod shares;
mod topics;
mod tracing_spans;
mod world;
