//! The development broker over the wire, as its clients see it: rskafka, raw frames, a foreign client, and kill -9.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod foreign;
mod kill;
mod restart;
mod serving;
mod support;
mod wire;
