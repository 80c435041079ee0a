//! The product as production runs it: every service a process of its own, any number of each, on databases and a broker that
//! stand beside them. Each process can be killed, frozen and started again, and struck at its failpoints.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};

use common::db::Db;
use common::failpoint::{FOLDER, Failpoints};
use common::testing::TestDb;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use uuid::Uuid;

use super::broker::Broker;
use super::process::Process;
use super::{EVENTIX, MESH_BINARY, ports};

/// What a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Catalog,
    Booking,
    Payment,
    Gateway,
}

impl Service {
    pub const ALL: [Self; 4] = [Self::Catalog, Self::Booking, Self::Payment, Self::Gateway];

    /// As the command line says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Booking => "booking",
            Self::Payment => "payment",
            Self::Gateway => "gateway",
        }
    }

    /// Whom it calls.
    fn peers(self) -> &'static [Self] {
        match self {
            Self::Catalog | Self::Payment => &[Self::Booking],
            Self::Booking => &[Self::Catalog, Self::Payment],
            Self::Gateway => &[Self::Catalog, Self::Booking, Self::Payment],
        }
    }

    fn setting(self, name: &str) -> String {
        format!("EVENTIX_{}__{name}", self.name().to_uppercase())
    }
}

/// The databases of a product, those of the services first, in the order of [`Service`].
const DATABASES: [&str; 4] = ["catalog", "booking", "payment", "provider"];
/// Where the provider's is among them.
const LEDGER: usize = 3;

/// Where the services keep their rows.
pub enum Databases {
    /// Files in a folder of their own, the broker's log among them.
    Folder(TempDir),
    /// The same in a folder of the test's.
    FolderOf(PathBuf),
    /// A database each: catalog, booking, payment, and the provider's.
    Postgres(Box<[TestDb; 4]>),
}

impl Databases {
    /// New databases on a PostgreSQL server.
    pub async fn postgres_on(server: &str) -> Self {
        let new = || TestDb::postgres_on(server);
        Self::Postgres(Box::new([new().await, new().await, new().await, new().await]))
    }

    /// New databases on the test run's PostgreSQL server.
    pub async fn postgres() -> Self {
        let new = TestDb::postgres;
        Self::Postgres(Box::new([new().await, new().await, new().await, new().await]))
    }

    /// New SQLite files.
    pub fn sqlite() -> Self {
        Self::Folder(tempfile::Builder::new().prefix("eventix-sqlite-").tempdir().unwrap())
    }

    /// One of PostgreSQL's databases, made for a service.
    pub fn of(&self, service: Service) -> &TestDb {
        let Self::Postgres(databases) = self else { panic!("these are files") };
        &databases[service as usize]
    }

    /// The folder, if these are files.
    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder.path()),
            Self::FolderOf(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }

    /// A database, opened for looking into it.
    async fn open(&self, nth: usize) -> Db {
        match self {
            Self::Postgres(databases) => (*databases[nth]).clone(),
            Self::Folder(_) | Self::FolderOf(_) => {
                let file = self.folder().unwrap().join(format!("{}.db", DATABASES[nth]));
                Db::connect(&format!("sqlite://{}?mode=ro", file.display()), 1).await.unwrap()
            }
        }
    }

    /// The one number, `n`, that a query on a service's database gives.
    pub async fn count(&self, service: Service, sql: &str) -> i64 {
        self.count_in(service as usize, sql).await
    }

    /// The ids, `id`, that a query on a service's database gives.
    pub async fn ids(&self, service: Service, sql: &str) -> Vec<Uuid> {
        let db = self.open(service as usize).await;
        let rows = db.query(db.reader(), sql, []).await.unwrap();
        rows.iter().map(|row| row.try_get("", "id").unwrap()).collect()
    }

    /// The same as [`Databases::count`] of the provider's ledger.
    pub async fn count_in_ledger(&self, sql: &str) -> i64 {
        self.count_in(LEDGER, sql).await
    }

    async fn count_in(&self, nth: usize, sql: &str) -> i64 {
        let db = self.open(nth).await;
        db.query(db.reader(), sql, []).await.unwrap()[0].try_get("", "n").unwrap()
    }

    /// The provider's ledger, for a provider that is a process of its own.
    pub fn ledger_url(&self) -> String {
        match self {
            Self::Postgres(databases) => databases[LEDGER].url.clone(),
            Self::Folder(_) | Self::FolderOf(_) => {
                format!("sqlite://{}?mode=rwc", self.folder().unwrap().join("provider.db").display())
            }
        }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let Self::Postgres(databases) = self else { return Vec::new() };
        let [catalog, booking, payment, provider] = &**databases;
        let url = "DATABASE__URL";
        vec![
            (Service::Catalog.setting(url), catalog.url.clone()),
            (Service::Booking.setting(url), booking.url.clone()),
            (Service::Payment.setting(url), payment.url.clone()),
            (Service::Payment.setting("PROVIDER__DATABASE__URL"), provider.url.clone()),
        ]
    }
}

/// How a mesh is to be.
pub struct Plan {
    databases: Databases,
    replicas: usize,
    settings: Vec<(String, String)>,
    only: Vec<(Service, String, String)>,
}

impl Plan {
    /// One process of each service.
    pub fn on(databases: Databases) -> Self {
        Self { databases, replicas: 1, settings: Vec::new(), only: Vec::new() }
    }

    /// So many processes of each service.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// A setting, for instance `("EVENTIX_BOOKING__HOLD", "3s")`; it wins over the mesh's own.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// An environment variable of one service's processes alone.
    pub fn only(mut self, service: Service, name: &str, value: impl Into<String>) -> Self {
        self.only.push((service, name.to_owned(), value.into()));
        self
    }
}

/// A mesh that runs; everything of it ends when it is dropped.
pub struct Mesh {
    /// Every process, those of one service side by side.
    nodes: Vec<Node>,
    /// The broker between them.
    pub broker: Broker,
    /// Their databases.
    pub databases: Databases,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

/// One process of a service, through all its lives.
pub struct Node {
    /// What it is.
    pub service: Service,
    /// Where it serves.
    pub addr: SocketAddr,
    /// Where it tells its health.
    pub admin: SocketAddr,
    /// Where it can be struck.
    pub failpoints: Failpoints,
    name: String,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    process: Option<Process>,
}

impl Mesh {
    /// Starts everything and returns once all of it is ready.
    pub async fn start(plan: Plan) -> Self {
        let folder = tempfile::Builder::new().prefix("eventix-mesh-").tempdir().unwrap();
        let broker = Broker::start(plan.databases.folder()).await;
        let mut nodes: Vec<Node> = Service::ALL
            .iter()
            .flat_map(|service| (0..plan.replicas).map(|n| Node::new(*service, n, &folder)))
            .collect();
        let mut settings = shared_settings(&nodes, &broker, &plan.databases);
        settings.extend(plan.settings);
        for node in &mut nodes {
            let own = [("LISTEN", node.addr), ("ADMIN_LISTEN", node.admin)];
            node.env.extend(own.map(|(name, addr)| (node.service.setting(name), addr.to_string())));
            node.env.extend(settings.iter().cloned());
            let only = plan.only.iter().filter(|(service, ..)| *service == node.service);
            node.env.extend(only.map(|(_, name, value)| (name.clone(), value.clone())));
            if let (Some(data), false) = (plan.databases.folder(), node.service == Service::Gateway) {
                node.args.extend(["--data".to_owned(), data.display().to_string()]);
            }
        }
        let mut mesh = Self { nodes, broker, databases: plan.databases, settings, folder };
        mesh.start_all().await;
        mesh
    }

    /// Starts whoever does not run, and waits for all.
    pub async fn start_all(&mut self) {
        for node in &mut self.nodes {
            node.spawn();
        }
        for node in &mut self.nodes {
            node.ready().await;
        }
    }

    /// The first process of a service.
    pub fn node(&mut self, service: Service) -> &mut Node {
        self.nodes_of(service).next().expect("one of each")
    }

    /// Every process of a service.
    pub fn nodes_of(&mut self, service: Service) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut().filter(move |node| node.service == service)
    }

    /// Where the first gateway serves GraphQL.
    pub fn http(&mut self) -> SocketAddr {
        self.node(Service::Gateway).addr
    }

    /// Runs a command such as `audit` with the mesh's settings to its end.
    pub async fn command(&self, args: &[&str]) -> Output {
        let mut command = Command::new(EVENTIX);
        command.args(args).envs(self.settings.iter().map(|(name, value)| (name, value)));
        if let Some(data) = self.databases.folder() {
            command.arg("--data").arg(data);
        }
        command.current_dir(self.folder.path()).output().await.unwrap()
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in &self.nodes {
                eprintln!("--- log of {} ---\n{}", node.name, node.log());
            }
        }
    }
}

/// What every process and every command is told.
fn shared_settings(nodes: &[Node], broker: &Broker, databases: &Databases) -> Vec<(String, String)> {
    let endpoints = |of: Service| {
        let addresses = nodes.iter().filter(|node| node.service == of).map(|node| format!("http://{}", node.addr));
        addresses.collect::<Vec<_>>().join(",")
    };
    let mut settings = databases.settings();
    for service in Service::ALL {
        for peer in service.peers() {
            let name = format!("{}__ENDPOINTS", peer.name().to_uppercase());
            settings.push((service.setting(&name), endpoints(*peer)));
        }
        settings.push((service.setting("BROKERS"), broker.addr.to_string()));
    }
    settings
}

impl Node {
    fn new(service: Service, n: usize, folder: &TempDir) -> Self {
        let name = format!("{}-{n}", service.name());
        let failpoints = Failpoints::in_folder(&folder.path().join(format!("{name}.strikes"))).unwrap();
        let env = vec![(FOLDER.to_owned(), failpoints.folder().display().to_string())];
        let log = folder.path().join(format!("{name}.log"));
        let (addr, admin) = (ports::free(), ports::free());
        Self { service, addr, admin, failpoints, name, args: vec![service.name().to_owned()], env, log, process: None }
    }

    /// Starts it, unless it runs, and does not wait.
    pub fn spawn(&mut self) {
        if self.process.is_none() {
            let mut command = Command::new(std::env::var_os(MESH_BINARY).unwrap_or_else(|| EVENTIX.into()));
            command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
            command.current_dir("/");
            self.process = Some(Process::spawn(&mut command, &self.log));
        }
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) {
        let (name, admin) = (self.name.clone(), self.admin);
        self.process().until(&format!("{name} is ready"), async || super::is_ready(admin).await.then_some(())).await;
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// The process; fails the test when it does not run.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a running process")
    }

    /// `kill -9`.
    pub async fn kill9(&mut self) {
        self.process.take().expect("a running process").kill9().await;
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.process.take().expect("a running process").stop().await
    }

    /// Waits until it has ended by itself.
    pub async fn end(&mut self) -> ExitStatus {
        self.process.take().expect("a running process").end().await
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Its metrics in Prometheus' text form.
    pub async fn metrics(&self) -> String {
        super::admin_page(self.admin, "/metrics").await.expect("the admin side answers")
    }

    /// One metric, that of this kind or name.
    pub async fn metric(&self, metric: &str, label: &str) -> Option<f64> {
        let (page, metric, label) = (self.metrics().await, format!("{metric}{{"), format!("\"{label}\""));
        let line = page.lines().find(|line| line.starts_with(&metric) && line.contains(&label))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Everything it has said in all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
