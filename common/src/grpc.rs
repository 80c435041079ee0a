//! The mesh: the one gRPC server builder and the one client channel; every server and every client is made by them.
//!
//! - `server`: health, reflection, the inbound stack, draining
//! - `channel`: calls to one peer, spread over its replicas; `balance`: which replica is asked; `failure`: calls without
//!   an answer
//! - `caller`: on whose behalf a call is made; `retry`: when it is made again

use std::time::Duration;

mod balance;
mod caller;
mod channel;
mod failure;
mod retry;
mod server;

pub use caller::Caller;
pub use channel::MeshChannel;
pub use retry::{with_retry, with_retry_unless_begun};
pub use server::{AccessTable, Server, bind, principal};
pub(crate) use server::{nodelay, reflection};

/// Bytes of one message, both ways.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Time a call may take when its caller names none.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);
