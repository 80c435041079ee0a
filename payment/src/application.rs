//! Use cases: booking's facts in, provider steps out to the provider, what the provider tells unasked, what waits too long,
//! and what a person does about it.

pub mod alarm;
pub mod facts;
pub mod listen;
pub mod ports;
pub mod retry;
pub mod saga;
pub mod steps;
pub mod view;
pub mod waiting;
pub mod watch;
