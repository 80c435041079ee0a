//! `eventix catalog|booking|payment|gateway`: one service in this process, with the development identity, on the same
//! folder and ports as `up`. Also where every service's settings are put together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use common::clock::SystemClock;
use common::config::load;
use common::dev_issuer::DevIssuer;
use common::runtime::{Host, Shutdown};
use common::telemetry::Telemetry;

use super::signals::Signals;
use super::up::{GRPC_BASE_PORT, GRPC_BASE_PORT_MAX, LISTEN, host, loopback_only, on_loopback};
use super::{BadSettings, in_runtime};
use crate::folder::{Folder, RunFile};

/// Where one service runs.
#[derive(Debug, Args)]
#[command(after_help = SETTINGS)]
pub(super) struct ServiceArgs {
    /// Folder of the databases; made when absent
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    #[command(flatten)]
    mesh: MeshArgs,
    /// Addresses of the brokers, separated by commas [default: 127.0.0.1:N+3, a development broker]
    #[arg(long, value_name = "HOST:PORT")]
    brokers: Option<String>,
}

/// Where the gateway runs.
#[derive(Debug, Args)]
#[command(after_help = SETTINGS)]
pub(super) struct GatewayArgs {
    /// Address of GraphQL; loopback only. The GraphiQL page and /dev/token are with `eventix up` only
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    listen: SocketAddr,
    #[command(flatten)]
    mesh: MeshArgs,
}

#[derive(Debug, Args)]
struct MeshArgs {
    /// Port of catalog; booking has N+1, payment N+2
    #[arg(long, value_name = "N", default_value_t = GRPC_BASE_PORT, value_parser = clap::value_parser!(u16).range(1..=GRPC_BASE_PORT_MAX))]
    grpc_base_port: u16,
    /// TOML file with settings of this service
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const SETTINGS: &str = "\
Settings come from code, then --config FILE, then EVENTIX_<SERVICE>__<SETTING>, for instance EVENTIX_BOOKING__HOLD=5m.
Every service trusts the development issuer, so all addresses are loopback ones. The broker: eventix-devbroker.";

/// Where the parts find each other.
pub(super) struct Mesh {
    catalog: SocketAddr,
    booking: SocketAddr,
    payment: SocketAddr,
    brokers: String,
}

impl Mesh {
    /// The addresses of a running product.
    pub(super) fn of(run: &RunFile) -> Self {
        let grpc = &run.grpc;
        let (catalog, booking, payment) = (grpc.catalog, grpc.booking, grpc.payment);
        Self { catalog, booking, payment, brokers: run.broker.to_string() }
    }

    fn at(base: u16, brokers: Option<&str>) -> Self {
        Self {
            catalog: on_loopback(base),
            booking: on_loopback(base + 1),
            payment: on_loopback(base + 2),
            brokers: brokers.map_or_else(|| on_loopback(base + 3).to_string(), str::to_owned),
        }
    }
}

fn http(address: SocketAddr) -> String {
    format!("http://{address}")
}

pub(super) fn catalog_config(folder: &Folder, mesh: &Mesh, file: Option<&Path>) -> anyhow::Result<catalog::Config> {
    let defaults = catalog::Config {
        database_url: folder.database_url("catalog"),
        brokers: mesh.brokers.clone(),
        booking_endpoint: http(mesh.booking),
        ..catalog::Config::default()
    };
    settings("catalog", defaults, file, catalog::Config::validate)
}

pub(super) fn booking_config(folder: &Folder, mesh: &Mesh, file: Option<&Path>) -> anyhow::Result<booking::Config> {
    let defaults = booking::Config {
        database_url: folder.database_url("booking"),
        brokers: mesh.brokers.clone(),
        catalog_endpoint: http(mesh.catalog),
        payment_endpoint: http(mesh.payment),
        ..booking::Config::default()
    };
    settings("booking", defaults, file, booking::Config::validate)
}

pub(super) fn payment_config(folder: &Folder, mesh: &Mesh, file: Option<&Path>) -> anyhow::Result<payment::Config> {
    let defaults = payment::Config {
        database_url: folder.database_url("payment"),
        provider_database_url: folder.database_url("provider"),
        brokers: mesh.brokers.clone(),
        booking_endpoint: http(mesh.booking),
        ..payment::Config::default()
    };
    settings("payment", defaults, file, payment::Config::validate)
}

pub(super) fn gateway_config(mesh: &Mesh, file: Option<&Path>) -> anyhow::Result<gateway::Config> {
    let defaults = gateway::Config {
        catalog_endpoint: http(mesh.catalog),
        booking_endpoint: http(mesh.booking),
        payment_endpoint: http(mesh.payment),
        ..gateway::Config::default()
    };
    settings("gateway", defaults, file, gateway::Config::validate)
}

/// Defaults, file and environment, checked: bad settings stop a start before it begins.
fn settings<T: serde::Serialize + serde::de::DeserializeOwned>(
    service: &str,
    defaults: T,
    file: Option<&Path>,
    validate: fn(&T) -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let checked = load(service, defaults, file).and_then(|config| validate(&config).map(|()| config));
    Ok(checked.map_err(BadSettings)?)
}

pub(super) fn catalog(args: &ServiceArgs) -> anyhow::Result<()> {
    let (folder, mesh) = args.place()?;
    let _lock = folder.lock_for("catalog")?;
    let config = catalog_config(&folder, &mesh, args.mesh.config.as_deref())?;
    alone("catalog", mesh.catalog, |host, shutdown| catalog::serve(config, host, shutdown))
}

pub(super) fn booking(args: &ServiceArgs) -> anyhow::Result<()> {
    let (folder, mesh) = args.place()?;
    let _lock = folder.lock_for("booking")?;
    let config = booking_config(&folder, &mesh, args.mesh.config.as_deref())?;
    alone("booking", mesh.booking, |host, shutdown| booking::serve(config, host, shutdown))
}

pub(super) fn payment(args: &ServiceArgs) -> anyhow::Result<()> {
    let (folder, mesh) = args.place()?;
    let _lock = folder.lock_for("payment")?;
    let config = payment_config(&folder, &mesh, args.mesh.config.as_deref())?;
    alone("payment", mesh.payment, |host, shutdown| payment::serve(config, host, shutdown))
}

pub(super) fn gateway(args: &GatewayArgs) -> anyhow::Result<()> {
    loopback_only(args.listen)?;
    let config = gateway_config(&Mesh::at(args.mesh.grpc_base_port, None), args.mesh.config.as_deref())?;
    alone("gateway", args.listen, |host, shutdown| gateway::serve(config, host, None, shutdown))
}

impl ServiceArgs {
    fn place(&self) -> anyhow::Result<(Folder, Mesh)> {
        let mesh = Mesh::at(self.mesh.grpc_base_port, self.brokers.as_deref());
        Ok((Folder::make(&self.data)?, mesh))
    }
}

/// Serves one service until stopped.
fn alone<F>(name: &'static str, address: SocketAddr, serve: impl FnOnce(Host, Shutdown) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    in_runtime(async {
        let listener = common::grpc::bind(address).await?;
        let signals = Signals::listen()?;
        let telemetry = Telemetry::start(&format!("eventix-{name}"))?;
        println!("{name} on {}", listener.local_addr()?);
        let issuer = DevIssuer::new(Arc::new(SystemClock))?;
        let shutdown = Shutdown::new();
        let work = serve(host(listener, &issuer, name)?, shutdown.clone());
        let outcome = signals.guard(&shutdown, Box::pin(work)).await;
        telemetry.flush().await;
        outcome
    })
}
