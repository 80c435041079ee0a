//! Use cases: booking's facts in, provider steps out to the provider, and what waits too long.

pub mod alarm;
pub mod facts;
pub mod ports;
pub mod saga;
pub mod steps;
pub mod waiting;
