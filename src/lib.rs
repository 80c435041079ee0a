//! Eventix in one binary. The services are crates of their own; here is what puts them into one process.
//!
//! - [`audit`]: what must always be true, checked in the databases
//! - [`cli`]: the command line, one file per command
//! - [`folder`]: the data folder: its databases, its lock, and the addresses in use
//! - [`services`]: the four services as this binary runs them, and where their settings come from
//! - [`demo`]: venues, plans and events for a first start

pub mod audit;
pub mod cli;
pub mod demo;
pub mod folder;
pub mod services;
