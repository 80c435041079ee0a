//! Providers behind the port, and how one tells unasked.
//!
//! - [`simulated`]: every outcome on demand, in this process; a product feature
//! - [`http`]: a provider process behind JSON over HTTP; [`server`] is the simulated one as such a process
//! - [`courier`]: delivers callbacks, signed as [`signature`] says
//! - [`wire`]: the JSON of all of it

pub mod courier;
mod exchange;
pub mod http;
pub mod server;
pub mod signature;
pub mod simulated;
pub mod wire;
