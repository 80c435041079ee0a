//! `eventix catalog|booking|payment|gateway`: one service in this process. Its settings say everything; flags are short
//! words for some of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use common::admin;
use common::clock::SystemClock;
use common::health::Health;
use common::runtime::{Host, Shutdown, Tasks};
use common::settings::{Loader, Settings};
use common::telemetry::{Logs, Telemetry};
use uuid::Uuid;

use super::signals::Signals;
use super::up::on_loopback;
use super::{BadSettings, in_runtime};
use crate::folder::Folder;
use crate::services::{self, Service};

/// Where one service runs.
#[derive(Debug, Args)]
#[command(after_help = SETTINGS)]
pub(super) struct ServiceArgs {
    /// Folder of the databases, unless settings name others; made when absent
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Addresses of the brokers, separated by commas [default: 127.0.0.1:50054, a development broker]
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
    #[command(flatten)]
    process: ProcessArgs,
}

/// What every service can be told.
#[derive(Debug, Args)]
#[command(after_help = SETTINGS)]
pub(super) struct ProcessArgs {
    /// Address of the service, port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address of health, metrics and reflection, port 0 takes a free one
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Look for catalog on port N of this machine, booking on N+1, payment on N+2, the broker on N+3; listen accordingly,
    /// admin sides ten ports higher [default: 50051]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=BASE_PORT_MAX))]
    grpc_base_port: Option<u16>,
    /// TOML file with settings of this service
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const SETTINGS: &str = "\
Settings come from code, then --config FILE, then EVENTIX_<SERVICE>__<SETTING>, for instance EVENTIX_BOOKING__HOLD=5m,
then flags. Without AUTH the service trusts the development issuer and listens on loopback addresses only.
The broker for development: eventix-devbroker.";

/// From catalog's port to an admin side's.
const ADMIN_OFFSET: u16 = 10;
/// The highest base port that leaves room for the others' ports and admin sides.
const BASE_PORT_MAX: i64 = 65535 - 2 - ADMIN_OFFSET as i64;

pub(super) fn run<S: Service>(args: &ServiceArgs) -> anyhow::Result<()> {
    let folder = Folder::planned(&args.data)?;
    let loader = services::from_outside(services::in_folder::<S>(&folder), args.process.config.as_deref());
    let broker = args.process.grpc_base_port.map(|base| on_loopback(base + 3).to_string());
    let loader = loader.flag("--grpc-base-port", "brokers", broker);
    let loader = loader.flag("--brokers", "brokers", args.brokers.clone());
    let config: S = args.process.over::<S>(loader).load().map_err(BadSettings::from)?;
    if !services::lives_in(&config, &folder) {
        return in_runtime(alone(config, unique_name(S::SERVICE)));
    }
    let _lock = Folder::make(&args.data)?.lock_for(S::SERVICE)?;
    // The lock keeps the name unique, and a restart takes its own leases over at once.
    in_runtime(alone(config, S::SERVICE.to_owned()))
}

pub(super) fn run_gateway(args: &ProcessArgs) -> anyhow::Result<()> {
    let loader = services::from_outside(Loader::new::<gateway::Config>(), args.config.as_deref());
    let broker = args.grpc_base_port.map(|base| on_loopback(base + 3).to_string());
    let loader = loader.flag("--grpc-base-port", "brokers", broker);
    let config = args.over::<gateway::Config>(loader).load::<gateway::Config>().map_err(BadSettings::from)?;
    in_runtime(alone(config, unique_name(gateway::Config::SERVICE)))
}

/// A name in leases that no other process has or had.
fn unique_name(service: &str) -> String {
    format!("{service}-{}", Uuid::now_v7())
}

impl ProcessArgs {
    /// The flags over everything else.
    fn over<S: Service>(&self, mut loader: Loader) -> Loader {
        if let Some(base) = self.grpc_base_port {
            let flag = "--grpc-base-port";
            for peer in S::PEERS {
                let endpoint = port_of(peer, base).map(|port| format!("http://{}", on_loopback(port)));
                loader = loader.flag(flag, &format!("{peer}.endpoints"), endpoint);
            }
            let port = port_of(S::SERVICE, base);
            let admin = port.map(|port| on_loopback(port + ADMIN_OFFSET).to_string());
            loader = loader.flag(flag, "listen", port.map(|port| on_loopback(port).to_string()));
            loader = loader.flag(flag, "admin_listen", admin);
        }
        let text = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        loader.flag("--listen", "listen", text(self.listen)).flag(
            "--admin-listen",
            "admin_listen",
            text(self.admin_listen),
        )
    }
}

/// The gateway has a port of its own.
fn port_of(service: &str, base: u16) -> Option<u16> {
    let at = ["catalog", "booking", "payment"].iter().position(|name| *name == service)?;
    Some(base + u16::try_from(at).unwrap_or_default())
}

/// Serves one service until stopped; the admin side answers until the end.
async fn alone<S: Service>(config: S, instance: String) -> anyhow::Result<()> {
    let process = config.process();
    let listener = common::grpc::bind(process.listen).await?;
    let admin_listener = common::grpc::bind(process.admin_listen).await?;
    let signals = Signals::listen()?;
    let logs = if process.is_production() { Logs::Json } else { Logs::Lines };
    let telemetry = Telemetry::start_with(&format!("eventix-{}", S::SERVICE), logs)?;
    let (identity, keeper) = services::identity(process).map_err(BadSettings)?;
    println!("{} on {}, admin on {}", S::SERVICE, listener.local_addr()?, admin_listener.local_addr()?);
    tracing::info!(instance, "{} starts", S::SERVICE);

    let (shutdown, drain) = (Shutdown::new(), config.drain());
    let mut tasks = Tasks::new(shutdown.clone());
    if let Some(keeper) = keeper {
        tasks.spawn("identity", keeper.run(shutdown.clone()));
    }
    let health = Health::starting(identity.verifier.clone(), shutdown.clone());
    let host = Host { listener, identity, clock: Arc::new(SystemClock), instance, health: health.clone() };
    tasks.spawn(S::SERVICE, config.serve(host, shutdown.clone()));
    let work = Box::pin(tasks.run(drain));
    let outcome = tokio::select! {
        outcome = signals.guard(&shutdown, work) => outcome,
        failed = admin::serve(admin_listener, health) => failed.and(Err(anyhow::anyhow!("the admin side ended unasked"))),
    };
    telemetry.flush().await;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> ProcessArgs {
        ProcessArgs { listen: None, admin_listen: None, grpc_base_port: Some(40000), config: None }
    }

    #[test]
    fn a_base_port_moves_the_service_and_its_peers() {
        let loader = args().over::<booking::Config>(Loader::new::<booking::Config>());
        let config: booking::Config = loader.load().unwrap();

        assert_eq!(config.process.listen, on_loopback(40001));
        assert_eq!(config.process.admin_listen, on_loopback(40011));
        assert_eq!(config.catalog.endpoints.first(), "http://127.0.0.1:40000");
        assert_eq!(config.payment.endpoints.first(), "http://127.0.0.1:40002");
    }

    #[test]
    fn the_gateway_keeps_its_own_port() {
        let args = ProcessArgs { listen: Some(on_loopback(9080)), ..args() };
        let loader = args.over::<gateway::Config>(Loader::new::<gateway::Config>());
        let config: gateway::Config = loader.load().unwrap();

        assert_eq!(config.process.listen, on_loopback(9080));
        assert_eq!(config.process.admin_listen, on_loopback(8081));
        assert_eq!(config.booking.endpoints.first(), "http://127.0.0.1:40001");
    }
}
