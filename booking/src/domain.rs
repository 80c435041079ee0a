//! States and rules of a booking: pure, no clock, no I/O.

pub mod best_available;
pub mod booking;
pub mod hall;
pub mod hold;
pub mod offer;
pub mod orphans;
pub mod policy;
pub mod ticket;
