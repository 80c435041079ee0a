//! What can be sold and on which terms: rules only. Nothing here waits, reads a clock or knows a database.

pub mod event;
pub mod fault;
pub mod offer;
pub mod plan;
pub mod plan_file;
pub mod policy;
pub mod prices;
pub mod venue;
