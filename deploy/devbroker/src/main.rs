//! `eventix-devbroker`: the development broker as a process of its own, so that tests can kill and freeze it.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A small Kafka-protocol broker for development only.
///
/// One node on a loopback port with one SQLite file behind it. It has no consumer groups, no transactions, no retention
/// (the file only grows), no replication and no authentication. An acknowledged record survives kill -9.
#[derive(Parser)]
#[command(name = "eventix-devbroker", version)]
struct Arguments {
    /// Address to listen on; loopback only, port 0 takes a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9092")]
    listen: SocketAddr,
    /// SQLite file that holds topics and records; made when absent
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Address told to clients, if it is not the one bound
    #[arg(long, value_name = "HOST:PORT")]
    advertised: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("eventix-devbroker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,devbroker=info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();

    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };

    let config = devbroker::Config { listen: arguments.listen, data: arguments.data, advertised: arguments.advertised };
    let running = devbroker::serve(config, shutdown).await?;
    println!("devbroker listening on {}", running.addr);
    running.stopped().await
}
