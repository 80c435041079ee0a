//! Use cases: one file per story. Authorise, load, decide, commit, in that order.

pub mod ask;
pub mod check_in;
pub mod command;
pub mod hold;
pub mod offers;
pub mod ports;
pub mod saga;
pub mod sweep;
