//! Messages out and in, as services use them: the log on two brokers, leases, outbox, relay and inbox on two databases.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod brokers;
mod bus;
mod contract;
mod dead_letters;
mod faults;
mod flow;
mod gaps;
mod intake;
mod leases;
mod outbox;
mod requests;
mod tracing_spans;
mod world;
