//! The relay: publishes committed facts in order per aggregate and marks them after the broker's acknowledgement.

/// Publishes one outbox.
pub struct Relay;
