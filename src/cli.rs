//! The command line: what can be said, and which file does it. Every failure is one line on stderr.

mod audit;
mod banner;
mod catalog_client;
mod databases;
mod dead_letters;
mod export;
mod import;
mod migrate;
mod provider;
mod ready;
mod schema;
mod service;
mod signals;
mod token;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use common::settings::Faults;

/// Failure of a command.
const FAILED: u8 = 1;
/// Settings that cannot be used, as clap answers bad arguments.
const BAD_SETTINGS: u8 = 2;
/// How long blocking work may go on after a command has ended.
const LINGER: Duration = Duration::from_secs(1);

/// Sells seats: four services behind one GraphQL gateway, in one binary.
///
/// Without a command it runs everything in this process, with its data in ./data, and prints what to try next.
#[derive(Debug, Parser)]
#[command(name = "eventix", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::UpArgs,
}

const EXAMPLES: &str = "\
Examples:
  eventix                                   run everything, data in ./data, GraphQL on http://127.0.0.1:8080
  eventix --ephemeral --listen 127.0.0.1:0  run everything on any free port, leave nothing behind
  eventix up --data ../other --listen 127.0.0.1:9080 --grpc-base-port 51051
                                            a second product beside the first
  eventix token --user alice --role Customer
  eventix import seating-plan hall.json --data ./data --venue 'City Hall' --city Bonn --country DE --time-zone Europe/Berlin
  eventix help up                           more about one command";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker and all four services in this process (what `eventix` alone does)
    Up(up::UpArgs),
    /// Run catalog alone: venues, seating plans, events, prices
    Catalog(service::ServiceArgs),
    /// Run booking alone: holds, bookings, tickets
    Booking(service::ServiceArgs),
    /// Run payment alone, with the simulated provider
    Payment(service::ServiceArgs),
    /// Run the GraphQL gateway alone
    Gateway(service::ProcessArgs),
    /// Ask a service's admin side whether it is ready; exits with 1 when it is not
    Ready(ready::ReadyArgs),
    /// Bring databases to the newest schema
    Migrate(migrate::MigrateArgs),
    /// Run the simulated payment provider as a process of its own, with its own ledger
    Provider(provider::ProviderArgs),
    /// Print a development token that lives 24 hours; needs no running product
    Token(token::TokenArgs),
    /// Bring something into a running product
    Import {
        #[command(subcommand)]
        what: Import,
    },
    /// Get something out of a running product
    Export {
        #[command(subcommand)]
        what: Export,
    },
    /// Look at facts that could not be handled, and decide about them
    DeadLetters(dead_letters::DeadLettersArgs),
    /// Check what must always be true, beside a running product
    Audit(audit::AuditArgs),
    /// Print the GraphQL schema
    Schema,
}

#[derive(Debug, Subcommand)]
enum Import {
    /// Import a seating plan in the open seating-plan JSON, and perhaps put an event on sale on it
    SeatingPlan(Box<import::ImportArgs>),
}

#[derive(Debug, Subcommand)]
enum Export {
    /// Write a seating plan as the open seating-plan JSON
    SeatingPlan(export::ExportArgs),
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct BadSettings(anyhow::Error);

impl BadSettings {
    /// The faults of several services, a block each.
    fn all(refused: Vec<Faults>) -> Self {
        Self(anyhow::Error::msg(refused.iter().map(Faults::to_string).collect::<Vec<_>>().join("\n")))
    }
}

impl From<Faults> for BadSettings {
    fn from(faults: Faults) -> Self {
        Self(faults.into())
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command.unwrap_or(Command::Up(cli.up))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("eventix: {error:#}");
            ExitCode::from(if error.is::<BadSettings>() { BAD_SETTINGS } else { FAILED })
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(&args),
        Command::Catalog(args) => service::run::<catalog::Config>(&args),
        Command::Booking(args) => service::run::<booking::Config>(&args),
        Command::Payment(args) => service::run::<payment::Config>(&args),
        Command::Gateway(args) => service::run_gateway(&args),
        Command::Ready(args) => in_runtime(ready::run(args)),
        Command::Migrate(args) => in_runtime(migrate::run(args)),
        Command::Provider(args) => in_runtime(provider::run(args)),
        Command::Token(args) => token::run(&args),
        Command::Import { what: Import::SeatingPlan(args) } => in_runtime(import::run(*args)),
        Command::Export { what: Export::SeatingPlan(args) } => in_runtime(export::run(args)),
        Command::DeadLetters(args) => in_runtime(dead_letters::run(args)),
        Command::Audit(args) => return in_runtime(audit::run(args)),
        Command::Schema => schema::run(),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a command's work to its end.
fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(Box::pin(work));
    runtime.shutdown_timeout(LINGER);
    outcome
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn up_is_what_is_meant_without_a_command() {
        let cli = Cli::try_parse_from(["eventix", "--ephemeral", "--grpc-base-port", "0"]).unwrap();

        assert!(cli.command.is_none());
        assert!(cli.up.ephemeral);
    }

    #[test]
    fn a_folder_and_an_ephemeral_one_exclude_each_other() {
        assert!(Cli::try_parse_from(["eventix", "up", "--ephemeral", "--data", "here"]).is_err());
    }
}
