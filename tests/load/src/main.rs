//! Measures a running Eventix from outside, as its users meet it: GraphQL over HTTP, with tokens of the development issuer.
//! It never starts or stops anything; `tests/load/run` arranges the products and the engines below them.
//!
//! - [`shop`]: a client; [`stage`]: events to sell; [`book`]: what each user does; [`report`]: percentiles and rates
//! - [`mixed`], [`saga`], [`backlog`]: the three measurements

#![expect(
    clippy::disallowed_methods,
    reason = "a tool of its own: its users are tasks, and it reads the machine's clock"
)]

mod backlog;
mod book;
mod mixed;
mod report;
mod saga;
mod shop;
mod stage;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measures a running Eventix that trusts the development issuer. Loopback addresses only.
#[derive(Debug, Parser)]
#[command(name = "eventix-load", version)]
struct Cli {
    /// Address of GraphQL
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", global = true)]
    gateway: SocketAddr,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Users who look at the list, look at an event, hold two seats and pay, one after another, as fast as they are answered
    Mixed {
        /// Users at once
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
        users: u32,
        /// How long to measure, seconds; a tenth more goes before, unmeasured
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
    },
    /// Bookings at a steady rate: from the hold's call to CONFIRMED
    Saga {
        /// Bookings a second
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        rate: u32,
        /// How long to measure, seconds
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
    },
    /// Makes facts of booking: holds that are released again, two facts each
    Fill {
        /// How many facts
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
        facts: u32,
    },
    /// Waits until a database's inbox has taken in what another's outbox holds, and says how fast
    Drain {
        /// The producing service's database
        #[arg(long, value_name = "URL")]
        producer: String,
        /// The consuming service's database
        #[arg(long, value_name = "URL")]
        consumer: String,
        /// Longest wait, seconds
        #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
        patience: u64,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("eventix-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    anyhow::ensure!(cli.gateway.ip().is_loopback(), "{} is not a loopback address", cli.gateway);
    match cli.command {
        Command::Mixed { users, seconds } => mixed::run(cli.gateway, users, Duration::from_secs(seconds)).await,
        Command::Saga { rate, seconds } => saga::run(cli.gateway, rate, Duration::from_secs(seconds)).await,
        Command::Fill { facts } => backlog::fill(cli.gateway, facts).await,
        Command::Drain { producer, consumer, patience } => {
            backlog::drain(&producer, &consumer, Duration::from_secs(patience)).await
        }
    }
}
