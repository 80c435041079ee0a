//! States and rules of a booking: pure, no clock, no I/O.

pub mod booking;
pub mod hold;
pub mod offer;
pub mod policy;
pub mod ticket;
