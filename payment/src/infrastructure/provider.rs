//! Providers behind the port. The simulated one is a product feature: every outcome on demand.

pub mod simulated;
