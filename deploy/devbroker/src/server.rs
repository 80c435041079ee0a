//! Connections: accepted up to a limit, each answered strictly in order on a task of its own, all drained at shutdown.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use thiserror::Error;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use crate::api::{self, RequestError};
use crate::frame::{self, FrameError};
use crate::log::{Log, Writer};

/// rskafka opens one connection per partition client, so a few embedded runs need some hundreds.
const CONNECTIONS_MAX: usize = 1_024;
/// A peer that does not take its answer for so long is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in hand may take after shutdown began.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every request may use.
pub struct Broker {
    pub log: Log,
    /// The one node, as told in Metadata.
    pub endpoint: Endpoint,
    /// Becomes true when shutdown begins.
    pub stopping: watch::Receiver<bool>,
}

/// An address as clients are told it.
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self { host: addr.ip().to_string(), port: addr.port() }
    }
}

impl FromStr for Endpoint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (host, port) = text.rsplit_once(':').context("expected host:port")?;
        let port = port.parse().with_context(|| format!("{port:?} is not a port"))?;
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

/// Why a connection was closed by us; it never concerns another connection.
#[derive(Debug, Error)]
enum ConnectionError {
    #[error("bad frame")]
    Frame(#[from] FrameError),
    #[error("bad request")]
    Request(#[from] RequestError),
    #[error("cannot send an answer")]
    Send(#[source] std::io::Error),
    #[error("answer not taken within {WRITE_TIMEOUT:?}")]
    SlowPeer,
}

/// Serves until `shutdown`, then drains: connections first, the writer after the last of them.
pub async fn run(
    listener: TcpListener,
    broker: Arc<Broker>,
    writer: Writer,
    stop: watch::Sender<bool>,
    shutdown: impl Future<Output = ()> + Send,
) {
    #[expect(clippy::disallowed_methods, reason = "stands alone without common's Tasks; awaited below")]
    let writer = tokio::spawn(writer.run());
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(&mut connections, stream, peer, &broker),
                Err(error) => {
                    warn!(%error, "cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => report(ended),
        }
    }

    info!("stopping with {} connections", connections.len());
    drop(listener);
    stop.send_replace(true);
    let drained = timeout(DRAIN_TIMEOUT, async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    });
    if drained.await.is_err() {
        warn!("cutting off {} connections after {DRAIN_TIMEOUT:?}", connections.len());
        connections.shutdown().await;
    }
    drop(broker); // with it goes the last sender of the writer's queue
    report(writer.await);
}

fn admit(connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr, broker: &Arc<Broker>) {
    if connections.len() >= CONNECTIONS_MAX {
        warn!(%peer, "refusing {peer}: {CONNECTIONS_MAX} connections are open");
        return;
    }
    let broker = Arc::clone(broker);
    connections.spawn(async move {
        match converse(stream, &broker).await {
            Ok(()) => debug!(%peer, "{peer} is gone"),
            Err(ConnectionError::Frame(FrameError::Io(error)) | ConnectionError::Send(error)) => {
                debug!(%peer, "{peer} broke off: {error}");
            }
            Err(error @ (ConnectionError::Frame(_) | ConnectionError::Request(_) | ConnectionError::SlowPeer)) => {
                warn!(%peer, "closing {peer}: {:#}", anyhow::Error::new(error));
            }
        }
    });
}

/// One connection: read, answer, write, in that order, which keeps answers in the order of their requests.
async fn converse(stream: TcpStream, broker: &Broker) -> Result<(), ConnectionError> {
    stream.set_nodelay(true).map_err(ConnectionError::Send)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut stopping = broker.stopping.clone();
    while !*stopping.borrow() {
        let request = tokio::select! {
            request = frame::read(&mut reader) => request?,
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(()),
        };
        let Some(request) = request else { return Ok(()) };
        let Some(response) = api::answer(broker, request).await? else { continue };
        timeout(WRITE_TIMEOUT, writer.write_all(&response))
            .await
            .map_err(|_| ConnectionError::SlowPeer)?
            .map_err(ConnectionError::Send)?;
    }
    Ok(())
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a task of the broker failed: {error}");
    }
}
