//! The development broker: a one-node server of the Kafka protocol on a loopback port, with one SQLite file behind it.
//!
//! It answers ApiVersions, Metadata, CreateTopics, Produce, Fetch and ListOffsets, and it is honest about durability: a
//! produce is acknowledged after COMMIT, and an offset is given once. There are no consumer groups, no transactions, no
//! retention, no replication and no authentication, so it refuses every address but loopback.

mod api;
mod frame;
mod log;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::log::Log;
use crate::server::{Broker, Endpoint};

/// What one broker needs to start.
pub struct Config {
    /// Where to listen; loopback only, port 0 takes a free port.
    pub listen: SocketAddr,
    /// The SQLite file, made when absent. A file beside it with `.lock` appended keeps a second broker out.
    pub data: PathBuf,
    /// `host:port` told to clients in Metadata; the bound address when `None`.
    pub advertised: Option<String>,
}

/// A broker that accepts connections. Dropping it does not stop it; its shutdown future does.
pub struct Running {
    /// The bound address.
    pub addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits until the shutdown future has fired and everything is drained and closed.
    ///
    /// # Errors
    /// When the broker's task died unasked.
    pub async fn stopped(self) -> anyhow::Result<()> {
        self.task.await.context("the broker's task failed")
    }
}

/// Binds and starts a broker, and returns once it accepts connections.
///
/// # Errors
/// As of [`serve_on`]; also a listen address in use (the text names it).
pub async fn serve(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> anyhow::Result<Running> {
    let listen = config.listen;
    only_loopback(listen)?;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    serve_on(listener, &config.data, config.advertised.as_deref(), shutdown).await
}

/// Starts a broker on a listener that is bound already. `shutdown` ends it: long polls are answered at once, requests in
/// hand are finished, the file is closed.
///
/// # Errors
/// A listener outside loopback, a malformed advertised address, a data file that cannot be opened or is used by another
/// broker.
pub async fn serve_on(
    listener: TcpListener,
    data: &Path,
    advertised: Option<&str>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<Running> {
    let addr = listener.local_addr().context("cannot tell the port bound")?;
    only_loopback(addr)?;
    let endpoint = match advertised {
        Some(text) => text.parse().with_context(|| format!("bad advertised address {text:?}"))?,
        None => Endpoint::from(addr),
    };
    let (log, writer) = Log::open(data).await.with_context(|| format!("cannot open the log in {}", data.display()))?;

    let (stop, stopping) = watch::channel(false);
    let broker = Arc::new(Broker { log, endpoint, stopping });
    #[expect(clippy::disallowed_methods, reason = "stands alone without common's Tasks; Running awaits the handle")]
    let task = tokio::spawn(server::run(listener, broker, writer, stop, shutdown));
    Ok(Running { addr, task })
}

fn only_loopback(listen: SocketAddr) -> anyhow::Result<()> {
    ensure!(
        listen.ip().is_loopback(),
        "refusing to listen on {listen}: the development broker has no authentication and serves loopback addresses only"
    );
    Ok(())
}
