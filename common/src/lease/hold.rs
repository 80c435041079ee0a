//! One lease held, and the work that goes on under it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long work may go on after its lease was asked back. Giving it back before the work has ended is safe all the same:
/// writes under the old epoch touch nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the keeper knows about a lease.
pub(super) struct Hold {
    name: String,
    epoch: i64,
    ended: CancellationToken,
    asked_back_at: OnceLock<Instant>,
}

impl Hold {
    pub(super) fn new(name: String, epoch: i64) -> Arc<Self> {
        Arc::new(Self { name, epoch, ended: CancellationToken::new(), asked_back_at: OnceLock::new() })
    }

    pub(super) fn epoch(&self) -> i64 {
        self.epoch
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Ends the work at once: somebody else has the lease.
    pub(super) fn lose(&self) {
        self.ended.cancel();
    }

    /// Asks the work to finish what it has in hand.
    pub(super) fn ask_back(&self) {
        self.asked_back_at.get_or_init(Instant::now);
        self.ended.cancel();
    }

    /// Whether it was asked back and nobody works under it any more, or somebody takes too long.
    pub(super) fn can_be_released(self: &Arc<Self>) -> bool {
        self.asked_back_at.get().is_some_and(|at| Arc::strong_count(self) == 1 || at.elapsed() > PATIENCE)
    }
}

/// A lease to work under; kept for as long as this lives, unless it is lost.
pub struct Lease {
    hold: Arc<Hold>,
    let_go: Arc<Notify>,
}

impl Lease {
    pub(super) fn new(hold: Arc<Hold>, let_go: Arc<Notify>) -> Self {
        Self { hold, let_go }
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.hold.name
    }

    /// What writes under it must name.
    pub fn epoch(&self) -> i64 {
        self.hold.epoch
    }

    /// Whether nothing new may be begun under it: it was asked back, or is lost.
    pub fn has_ended(&self) -> bool {
        self.hold.has_ended()
    }

    /// Waits until nothing new may be begun under it.
    pub async fn ended(&self) {
        self.hold.ended.cancelled().await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.has_ended() {
            self.let_go.notify_one();
        }
    }
}
