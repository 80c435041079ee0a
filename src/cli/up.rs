//! `eventix up`: the broker and all four services in one process, real gRPC between them.
//!
//! Folder and ports are taken before anything starts, so a refusal leaves nothing half done.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use common::clock::{Clock, SystemClock};
use common::dev_issuer::DevIssuer;
use common::health::Health;
use common::runtime::{Host, Shutdown, Tasks};
use common::settings::Loader;
use common::telemetry::Telemetry;
use tokio::net::TcpListener;

use super::signals::Signals;
use super::{BadSettings, banner, in_runtime, ready};
use crate::demo;
use crate::folder::{Folder, FolderLock, GrpcAddresses, RunFile, RunFileGuard};
use crate::services::{self, Service};

/// Where the gateway listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8080";
/// Catalog's port unless told otherwise; booking, payment and the broker follow.
const GRPC_BASE_PORT: u16 = 50051;
/// The highest base port that leaves room for the others.
const GRPC_BASE_PORT_MAX: i64 = 65532;
/// What the embedded run decides by itself.
const RESERVED: &[&str] = &["mode", "allow_plaintext", "listen", "admin_listen", "auth"];
const RESERVED_WHY: &str = "cannot be set for the whole product in one process, which is for development on this \
    machine and listens where its flags say: run the services by themselves";
/// Name in leases: fixed, so that a restart takes its own leases over at once.
const INSTANCE: &str = "embedded";

/// Where to run and for how long seats are held.
#[derive(Debug, Args)]
#[command(after_help = "\
The first start on an empty folder makes demo venues and events. Addresses in use stand in DIR/run.json, so that other
commands need --data DIR only. Ctrl-C finishes what is under way and stops; a second Ctrl-C stops at once.
Services read EVENTIX_<SERVICE>__<SETTING> from the environment, for instance EVENTIX_BOOKING__GRACE=30s.")]
pub(super) struct UpArgs {
    /// Folder of the databases; made when absent, other files in it are left alone
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Use a new temporary folder instead, removed when stopped
    #[arg(long, conflicts_with = "data")]
    pub(super) ephemeral: bool,
    /// Address of GraphQL and the GraphiQL page; loopback only, port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = LISTEN)]
    listen: SocketAddr,
    /// Port of catalog; booking N+1, payment N+2, broker N+3; 0 takes free ones
    #[arg(long, value_name = "N", default_value_t = GRPC_BASE_PORT, value_parser = clap::value_parser!(u16).range(0..=GRPC_BASE_PORT_MAX))]
    grpc_base_port: u16,
    /// How long a hold keeps its seats, minutes [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1440))]
    hold_minutes: Option<u64>,
}

/// Runs until stopped.
///
/// # Errors
/// The folder or a port is taken, or a part failed; in one line.
pub(super) fn run(args: &UpArgs) -> anyhow::Result<()> {
    // Dropped last: nothing may write into a temporary folder while it is removed.
    let home = Home::take(args)?;
    in_runtime(up(args, &home))
}

/// The folder, ours until dropped.
struct Home {
    folder: Folder,
    _lock: FolderLock,
    temporary: Option<tempfile::TempDir>,
}

impl Home {
    fn take(args: &UpArgs) -> anyhow::Result<Self> {
        let temporary = args.ephemeral.then(|| tempfile::Builder::new().prefix("eventix-").tempdir()).transpose()?;
        let folder = Folder::make(temporary.as_ref().map_or(&args.data, |dir| dir.path()))?;
        let lock = folder.lock()?;
        folder.forget_stale();
        Ok(Self { folder, _lock: lock, temporary })
    }
}

async fn up(args: &UpArgs, home: &Home) -> anyhow::Result<()> {
    let ports = Ports::bind(args).await?;
    let signals = Signals::listen()?;
    let telemetry = Telemetry::start("eventix")?;
    let shutdown = Shutdown::new();
    let outcome = signals.guard(&shutdown, Box::pin(product(args, home, ports, shutdown.clone()))).await;
    telemetry.flush().await;
    outcome
}

/// Every address of the product, taken.
struct Ports {
    broker: TcpListener,
    services: Services,
}

/// The services' addresses, taken.
struct Services {
    gateway: TcpListener,
    catalog: TcpListener,
    booking: TcpListener,
    payment: TcpListener,
}

impl Ports {
    async fn bind(args: &UpArgs) -> anyhow::Result<Self> {
        loopback_only(args.listen)?;
        let nth = |n: u16| match args.grpc_base_port {
            0 => on_loopback(0),
            base => on_loopback(base + n),
        };
        let services = Services {
            gateway: common::grpc::bind(args.listen).await?,
            catalog: common::grpc::bind(nth(0)).await?,
            booking: common::grpc::bind(nth(1)).await?,
            payment: common::grpc::bind(nth(2)).await?,
        };
        Ok(Self { broker: common::grpc::bind(nth(3)).await?, services })
    }

    fn told(&self) -> anyhow::Result<RunFile> {
        let grpc = GrpcAddresses {
            catalog: self.services.catalog.local_addr()?,
            booking: self.services.booking.local_addr()?,
            payment: self.services.payment.local_addr()?,
        };
        let (http, broker) = (self.services.gateway.local_addr()?, self.broker.local_addr()?);
        Ok(RunFile { pid: std::process::id(), http, grpc, broker })
    }
}

/// An address that only this machine reaches.
pub(super) fn on_loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Refuses addresses that others could reach.
fn loopback_only(address: SocketAddr) -> anyhow::Result<()> {
    ensure!(
        address.ip().is_loopback(),
        "refusing to listen on {address}: the development issuer gives Admin tokens to anybody, so only loopback addresses are allowed"
    );
    Ok(())
}

/// Everything from the broker's start to its end; services first, the broker last, both ways.
async fn product(args: &UpArgs, home: &Home, ports: Ports, shutdown: Shutdown) -> anyhow::Result<()> {
    let broker_stop = Shutdown::new();
    let run = ports.told()?;
    let (log, stopped) = (home.folder.file("broker.db"), broker_stop.clone().cancelled_owned());
    let broker = devbroker::serve_on(ports.broker, &log, None, stopped).await?;
    let mut broker = pin!(broker.stopped());

    let issuer = DevIssuer::new(Arc::new(SystemClock))?;
    let (tasks, drain) = start(args, &home.folder, ports.services, &run, &issuer, shutdown.clone())?;
    let opening = async {
        let opened = tokio::select! {
            opened = open(home, &run, &issuer) => opened?,
            () = shutdown.cancelled() => std::future::pending().await,
        };
        let _told: RunFileGuard = opened;
        std::future::pending::<anyhow::Result<()>>().await
    };
    let outcome = tokio::select! {
        outcome = tasks.run(drain) => outcome,
        failed = opening => failed,
        ended = &mut broker => return Err(ended.err().unwrap_or_else(|| anyhow::anyhow!("the broker ended unasked"))),
    };
    broker_stop.cancel();
    outcome.and(broker.await)
}

fn start(
    args: &UpArgs,
    folder: &Folder,
    ports: Services,
    run: &RunFile,
    issuer: &Arc<DevIssuer>,
    shutdown: Shutdown,
) -> anyhow::Result<(Tasks, Duration)> {
    let Configs { catalog, booking, payment, gateway } = Configs::load(args, folder, run)?;
    let drain = catalog.drain().max(booking.drain()).max(payment.drain()).max(gateway.drain());
    let host = |listener| host(listener, issuer, &shutdown);
    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("catalog", catalog::serve(catalog, host(ports.catalog)?, shutdown.clone()));
    tasks.spawn("booking", booking::serve(booking, host(ports.booking)?, shutdown.clone()));
    tasks.spawn("payment", payment::serve(payment, host(ports.payment)?, shutdown.clone()));
    let gateway = gateway::serve(gateway, host(ports.gateway)?, Some(issuer.clone()), shutdown.clone());
    tasks.spawn("gateway", gateway);
    Ok((tasks, drain))
}

/// Settings of every service.
struct Configs {
    catalog: catalog::Config,
    booking: booking::Config,
    payment: payment::Config,
    gateway: gateway::Config,
}

impl Configs {
    /// Bad settings stop a start before it begins; those of all services are told.
    fn load(args: &UpArgs, folder: &Folder, run: &RunFile) -> anyhow::Result<Self> {
        let hold = args.hold_minutes.map(|minutes| format!("{minutes}m"));
        let catalog = here::<catalog::Config>(folder, run).load();
        let booking = here::<booking::Config>(folder, run).flag("--hold-minutes", "hold", hold).load();
        let payment = payment(folder, run).load();
        let gateway = here::<gateway::Config>(folder, run).load();
        match (catalog, booking, payment, gateway) {
            (Ok(catalog), Ok(booking), Ok(payment), Ok(gateway)) => Ok(Self { catalog, booking, payment, gateway }),
            (catalog, booking, payment, gateway) => {
                let refused = [catalog.err(), booking.err(), payment.err(), gateway.err()];
                Err(BadSettings::all(refused.into_iter().flatten().collect()).into())
            }
        }
    }
}

/// A service's settings, where the others are those of this run.
fn here<S: Service>(folder: &Folder, run: &RunFile) -> Loader {
    here_over::<S>(services::in_folder::<S>(folder), run)
}

fn here_over<S: Service>(loader: Loader, run: &RunFile) -> Loader {
    let mut loader = loader.reserve(RESERVED, RESERVED_WHY);
    let grpc = &run.grpc;
    for (peer, address) in [("catalog", grpc.catalog), ("booking", grpc.booking), ("payment", grpc.payment)] {
        if S::PEERS.contains(&peer) {
            loader = loader.place(&format!("{peer}.endpoints"), format!("http://{address}"));
        }
    }
    services::from_outside(loader.place("brokers", run.broker.to_string()), None)
}

/// The simulated provider tells unasked as well, on a free port unless settings name one.
fn payment(folder: &Folder, run: &RunFile) -> Loader {
    let callbacks = services::in_folder::<payment::Config>(folder).place("callback.listen", on_loopback(0).to_string());
    here_over::<payment::Config>(callbacks, run)
}

/// Where and as whom a service of the embedded run works.
fn host(listener: TcpListener, issuer: &Arc<DevIssuer>, shutdown: &Shutdown) -> anyhow::Result<Host> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let identity = issuer.identity()?;
    let health = Health::starting(identity.verifier.clone(), shutdown.clone());
    Ok(Host { listener, identity, clock, instance: INSTANCE.to_owned(), health })
}

/// Waits for the services, fills an empty product, tells other commands and then people.
async fn open(home: &Home, run: &RunFile, issuer: &Arc<DevIssuer>) -> anyhow::Result<RunFileGuard> {
    ready::wait(run).await?;
    demo::make(run, issuer).await.context("making demo data")?;
    let first_lines = banner::text(&home.folder, home.temporary.is_some(), run, issuer).await?;
    let told = home.folder.tell(run)?;
    println!("{first_lines}");
    Ok(told)
}
