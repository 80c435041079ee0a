//! Faults: real processes, a real broker and a real PostgreSQL, each of them killed, frozen, cut off or emptied while bookings
//! are under way. Every test sees that its fault struck, that everything came to its end, and that `eventix audit` finds
//! nothing. Without `EVENTIX_TEST_ALL=1` one representative of each fault runs.

#![expect(clippy::unwrap_used, reason = "a test stops at anything unexpected")]
#![expect(clippy::disallowed_methods, reason = "tests may look at the machine's clock and their own switches")]

#[allow(dead_code, reason = "each test binary uses its own part of the client")]
#[path = "../e2e/client.rs"]
mod client;
#[path = "../harness/mod.rs"]
mod harness;

mod approvals;
mod broker;
mod clock;
mod crowd;
mod disk;
mod flows;
mod lane;
mod late;
mod messages;
mod postgres;
mod provider;
mod redis;
mod refused;
mod replicas;
mod rolling;
mod rush;
mod sales;
mod stage;
mod steps;

use std::time::Duration;

/// Whether the full matrix was asked for.
fn everything() -> bool {
    std::env::var("EVENTIX_TEST_ALL").is_ok_and(|value| value == "1")
}

/// One line per fault, for whoever wants to know how long the product took to be itself again.
fn report(struck: &str, bookings: usize, converged: Duration) {
    println!("fault: {struck}, {bookings} bookings under way: whole again after {:.1} s", converged.as_secs_f64());
}
