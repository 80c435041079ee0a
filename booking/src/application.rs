//! Use cases: one file per story. Authorise, load, decide, commit, in that order.

pub mod ask;
pub mod best_available;
pub mod check_in;
pub mod command;
pub mod hold;
pub mod offers;
mod orphans;
pub mod ports;
pub mod saga;
pub mod sweep;
