//! Signals that ask a process to stop: the first is answered by draining, the second by stopping at once.

use anyhow::Context;
use common::runtime::Shutdown;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Interrupt, terminate and hang-up, heard from now on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Starts to listen.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let hear = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
            hang_up: hear(SignalKind::hangup())?,
        })
    }

    /// Does the work until it ends. The first signal fires `shutdown`, a second one gives the work up.
    pub(super) async fn guard<T>(
        mut self,
        shutdown: &Shutdown,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let twice = async {
            self.next().await;
            tracing::info!("stopping: what is under way is finished first; a second signal stops at once");
            shutdown.cancel();
            self.next().await;
        };
        tokio::select! {
            outcome = work => outcome,
            () = twice => anyhow::bail!("stopped at once by a second signal"),
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
