//! Named tasks and shutdown: the first signal stops intake and drains, a second or the deadline aborts.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
pub use tokio_util::sync::CancellationToken as Shutdown;

use crate::auth::Identity;
use crate::clock::Clock;
use crate::health::Health;

/// Where and as whom a service runs; the listener is bound before, so that its address is known to its peers.
pub struct Host {
    /// Where it serves.
    pub listener: TcpListener,
    /// How it knows others and is known.
    pub identity: Identity,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Name of this process in leases: a restart under the same name takes its leases over at once.
    pub instance: String,
    /// Where the service says what it needs in order to work.
    pub health: Health,
}

/// Waits until `patience` has passed since the stop signal: the bound of what should end by itself.
pub async fn long_after(shutdown: &Shutdown, patience: Duration) {
    shutdown.cancelled().await;
    tokio::time::sleep(patience).await;
}

/// The long-running tasks of one service.
pub struct Tasks {
    set: JoinSet<(String, anyhow::Result<()>)>,
    shutdown: Shutdown,
}

impl Tasks {
    /// No tasks yet; all of them end on `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { set: JoinSet::new(), shutdown }
    }

    /// The signal that ends the tasks.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Starts a task under a name.
    pub fn spawn<F>(&mut self, name: impl Into<String>, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let name = name.into();
        self.set.spawn(async move { (name, task.await) });
    }

    /// Runs until shutdown, then waits up to `drain` for the tasks to end.
    ///
    /// # Errors
    /// A task that fails, panics, or ends before it was asked to stops all others and is named.
    pub async fn run(mut self, drain: Duration) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while !self.shutdown.is_cancelled() {
            let ended = tokio::select! {
                () = self.shutdown.cancelled() => break,
                ended = self.set.join_next() => ended,
            };
            let Some(ended) = ended else {
                self.shutdown.cancelled().await;
                break;
            };
            outcome = unasked(ended, self.shutdown.is_cancelled());
            self.shutdown.cancel();
        }
        let drained = tokio::time::timeout(drain, async {
            let mut failure = Ok(());
            while let Some(ended) = self.set.join_next().await {
                failure = failure.and(unasked(ended, true));
            }
            failure
        })
        .await;
        match drained {
            Ok(drained) => outcome.and(drained),
            Err(_) => outcome.and(Err(anyhow::anyhow!("tasks did not end within {drain:?} of the stop signal"))),
        }
    }
}

fn unasked(ended: Result<(String, anyhow::Result<()>), tokio::task::JoinError>, asked: bool) -> anyhow::Result<()> {
    match ended {
        Ok((name, Err(error))) => Err(error.context(format!("task {name}"))),
        Ok((name, Ok(()))) if !asked => Err(anyhow::anyhow!("task {name} ended unasked")),
        Ok((_, Ok(()))) => Ok(()),
        Err(join) => Err(anyhow::anyhow!("a task panicked: {join}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ends_unasked_stops_the_others_and_is_named() {
        let mut tasks = Tasks::new(Shutdown::new());
        let shutdown = tasks.shutdown();
        tasks.spawn("waiting", async move {
            shutdown.cancelled().await;
            Ok(())
        });
        tasks.spawn("short", async { Ok(()) });

        let failure = tasks.run(Duration::from_secs(5)).await.unwrap_err();

        assert_eq!(failure.to_string(), "task short ended unasked");
    }

    #[tokio::test]
    async fn an_asked_stop_is_clean() {
        let shutdown = Shutdown::new();
        let mut tasks = Tasks::new(shutdown.clone());
        let seen = shutdown.clone();
        tasks.spawn("waiting", async move {
            seen.cancelled().await;
            Ok(())
        });
        shutdown.cancel();

        assert!(tasks.run(Duration::from_secs(5)).await.is_ok());
    }
}
