//! Whether a part is ready: `eventix ready` for probes, and waiting until every part of `up` answers. The listeners are bound before, so a call waits in the queue until its service is up.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::folder::RunFile;

/// Time for migrations and first connections on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for one question.
const ANSWER: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits for the services and the gateway.
///
/// # Errors
/// Names the part that did not come up.
pub(super) async fn wait(run: &RunFile) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    for (name, address) in [("catalog", run.grpc.catalog), ("booking", run.grpc.booking), ("payment", run.grpc.payment)]
    {
        while !matches!(timeout(ANSWER, grpc_serves(address)).await, Ok(Ok(()))) {
            pause(name, until).await?;
        }
    }
    while !matches!(timeout(ANSWER, gateway_is_ready(run.http)).await, Ok(Ok(true))) {
        pause("gateway", until).await?;
    }
    Ok(())
}

async fn pause(name: &str, until: Instant) -> anyhow::Result<()> {
    if Instant::now() > until {
        bail!("{name} did not become ready within {PATIENCE:?}");
    }
    sleep(PAUSE).await;
    Ok(())
}

async fn grpc_serves(address: SocketAddr) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    HealthClient::new(channel).check(HealthCheckRequest::default()).await?;
    Ok(())
}

async fn gateway_is_ready(address: SocketAddr) -> anyhow::Result<bool> {
    Ok(readiness(address).await?.starts_with("HTTP/1.1 200"))
}

/// The answer to a look at an admin side's readiness, with its head.
async fn readiness(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: eventix\r\nconnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Whom to ask.
#[derive(Debug, Args)]
pub(super) struct ReadyArgs {
    /// Address of an admin side
    #[arg(value_name = "ADDR")]
    admin: SocketAddr,
}

/// Asks once, as a container's health check does.
///
/// # Errors
/// It is not ready, or does not answer.
pub(super) async fn run(args: ReadyArgs) -> anyhow::Result<()> {
    let answer = timeout(ANSWER, readiness(args.admin)).await.context("no answer in time")??;
    let said = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body.trim());
    ensure!(answer.starts_with("HTTP/1.1 200"), "{} is not ready: {said}", args.admin);
    Ok(())
}
