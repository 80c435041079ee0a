//! Services as processes beside a development broker, all of them told where the others are by the environment.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::runtime::Shutdown;
use eventix::folder::{GrpcAddresses, RunFile};
use tempfile::TempDir;

use crate::client::Shop;
use crate::harness::{EVENTIX, PATIENCE, eventually, text};

/// One service's process; killed when dropped.
pub struct ServiceProcess {
    /// Its first line, once it listens.
    pub first_line: String,
    child: Child,
    log: std::path::PathBuf,
}

impl ServiceProcess {
    /// Everything it has written to stderr.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to stop; whether it ended well.
    pub async fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        eventually("a clean end", PATIENCE, async || self.child.try_wait().unwrap()).await.success()
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.first_line.trim_end(), self.log());
        }
    }
}

/// Where everything is, and what every process of it is told.
pub struct Deployment {
    /// Addresses of the first replica of each service.
    pub run: RunFile,
    environment: Vec<(String, String)>,
    folder: TempDir,
    broker: Shutdown,
    _running: devbroker::Running,
}

impl Deployment {
    /// A broker and addresses; no service runs yet. `environment` comes on top of where the others are.
    pub async fn plan(environment: &[(String, String)]) -> Self {
        let folder = tempfile::Builder::new().prefix("eventix-processes-").tempdir().unwrap();
        let (listener, broker) = (tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), Shutdown::new());
        let address = listener.local_addr().unwrap();
        let stopped = broker.clone().cancelled_owned();
        let running = devbroker::serve_on(listener, &folder.path().join("broker.db"), None, stopped).await.unwrap();

        let grpc = GrpcAddresses { catalog: free_address(), booking: free_address(), payment: free_address() };
        let run = RunFile { pid: 0, http: free_address(), grpc, broker: address };
        let mut all = peers(&run);
        all.extend_from_slice(environment);
        Self { run, environment: all, folder, broker, _running: running }
    }

    /// The data folder of whatever no setting places elsewhere.
    pub fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A command with the deployment's settings.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(EVENTIX);
        command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if !["gateway", "ready"].contains(&arguments[0]) {
            command.arg("--data").arg(self.data());
        }
        command
    }

    /// A command, to its end.
    pub fn said(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the first replica of a service, and returns once it is ready.
    pub async fn start(&self, service: &str) -> ServiceProcess {
        let grpc = &self.run.grpc;
        let at = match service {
            "catalog" => grpc.catalog,
            "booking" => grpc.booking,
            "payment" => grpc.payment,
            _ => self.run.http,
        };
        self.start_at(service, at).await
    }

    /// Starts a replica at an address, and returns once it is ready.
    pub async fn start_at(&self, service: &str, at: SocketAddr) -> ServiceProcess {
        let admin = free_address();
        let process = self.spawn(service, at, admin, &[]);
        let process = listening(process).await;
        eventually(&format!("{service} ready"), PATIENCE, async || {
            (get(admin, "/health/ready").await?.0 == 200).then_some(())
        })
        .await;
        process
    }

    /// Starts a replica, with further settings, without waiting for anything.
    pub fn spawn(&self, service: &str, at: SocketAddr, admin: SocketAddr, further: &[(&str, &str)]) -> ServiceProcess {
        let log = |kind: &str| self.folder.path().join(format!("{service}-{}.{kind}", at.port()));
        let child = self
            .command(&[service, "--listen", &at.to_string(), "--admin-listen", &admin.to_string()])
            .envs(further.iter().copied())
            .stdout(File::create(log("out")).unwrap())
            .stderr(File::create(log("log")).unwrap())
            .spawn()
            .unwrap();
        ServiceProcess { first_line: String::new(), child, log: log("log") }
    }

    /// The whole product, one process each; with demo events.
    pub async fn start_all(&self) -> Vec<ServiceProcess> {
        let mut processes = Vec::new();
        for service in ["catalog", "booking", "payment", "gateway"] {
            // The gateway is ready when the others are.
            processes.push(self.start(service).await);
        }
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        eventix::demo::make(&self.run, &issuer).await.unwrap();
        processes
    }

    /// A customer's view of it.
    pub fn shop(&self) -> Shop {
        Shop::at(self.run.http)
    }

    /// Fails unless the audit, with the deployment's settings, finds every invariant whole.
    pub fn assert_audit_clean(&self) -> String {
        let output = self.said(&["audit"]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "audit: {said}{}", text(&output.stderr));
        said
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.broker.cancel();
    }
}

/// Waits for the first line, which says where a process listens.
pub async fn listening(mut process: ServiceProcess) -> ServiceProcess {
    let out = process.log.with_extension("out");
    process.first_line = eventually("the first line", PATIENCE, async || {
        let ended = process.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {ended:?}\n{}", process.log());
        fs::read_to_string(&out).ok().filter(|said| said.ends_with('\n'))
    })
    .await;
    process
}

/// Books a seat to its ticket.
pub async fn book(shop: &Shop, user: &str) {
    let event = shop.seated_event().await;
    let seat = shop.free_seats(&event).await[..1].to_vec();
    let booking = shop.hold(user, &event, &seat, "hold").await.unwrap().id();
    shop.pay(user, &booking, "tok_approve", "pay").await.unwrap().id();
    let confirmed = shop.until(user, &booking, "CONFIRMED").await;
    assert_eq!(confirmed["tickets"].as_array().unwrap().len(), 1, "{confirmed}");
    shop.until_payment(user, &booking, "CAPTURED").await;
}

/// Status and body of a GET, if anybody answers.
pub async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
        let asked = format!("GET {path} HTTP/1.1\r\nhost: eventix\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = text(&answer);
        Some((answer.split(' ').nth(1)?.parse().ok()?, answer.split_once("\r\n\r\n")?.1.to_owned()))
    };
    tokio::time::timeout(Duration::from_secs(5), exchange).await.ok()?
}

/// Settings of every service that say where the others are.
fn peers(run: &RunFile) -> Vec<(String, String)> {
    let grpc = &run.grpc;
    let mut all = Vec::new();
    for (service, peers) in [
        ("CATALOG", vec![("BOOKING", grpc.booking)]),
        ("BOOKING", vec![("CATALOG", grpc.catalog), ("PAYMENT", grpc.payment)]),
        ("PAYMENT", vec![("BOOKING", grpc.booking)]),
        ("GATEWAY", vec![("CATALOG", grpc.catalog), ("BOOKING", grpc.booking), ("PAYMENT", grpc.payment)]),
    ] {
        for (peer, address) in peers {
            all.push((format!("EVENTIX_{service}__{peer}__ENDPOINTS"), format!("http://{address}")));
        }
        if service != "GATEWAY" {
            all.push((format!("EVENTIX_{service}__BROKERS"), run.broker.to_string()));
        }
    }
    all
}

/// A port below those that the system gives to connections, so that nobody takes it before the service does.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 1000).unwrap() * 12;
    loop {
        let port = 19000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 13000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// Databases and roles made by the deployment's own file, under names of one test; gone when dropped.
pub struct Databases {
    server: String,
    prefix: String,
}

/// Section of the settings, service, and database of each.
const DATABASES: [(&str, &str); 4] = [
    ("EVENTIX_CATALOG__DATABASE", "catalog"),
    ("EVENTIX_BOOKING__DATABASE", "booking"),
    ("EVENTIX_PAYMENT__DATABASE", "payment"),
    ("EVENTIX_PAYMENT__PROVIDER__DATABASE", "provider"),
];

impl Databases {
    /// Applies `deploy/postgres/roles.sql`.
    pub fn make() -> Self {
        let prefix = format!("eventix_test_{}", uuid::Uuid::now_v7().simple());
        let databases = Self { server: common::testing::postgres_server(), prefix };
        databases.apply();
        databases
    }

    /// Applies the file once more.
    pub fn apply(&self) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/postgres/roles.sql");
        let prefix = format!("prefix={}", self.prefix);
        let output = Command::new("psql").args(["-qX", "-v", &prefix, "-f"]).arg(file).arg(&self.server).output();
        let output = output.expect("`psql` must be on PATH: run the tests through ./tests/run, which brings it");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }

    /// The first word of all names.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `host:port` of the server.
    pub fn server_address(&self) -> &str {
        let (_, host) = self.server.rsplit_once('@').expect("an address with a user");
        host.split('/').next().unwrap()
    }

    /// The address of a service's database, for one of its roles.
    pub fn url(&self, service: &str, role: &str) -> String {
        self.url_of(service, service, role)
    }

    /// The address of `database`'s database for a role of `service`.
    pub fn url_of(&self, database: &str, service: &str, role: &str) -> String {
        let host = self.server_address();
        // The server of the test run trusts everybody on this machine; the password shows up nowhere all the same.
        format!("postgres://{p}_{service}_{role}:{PASSWORD}@{host}/{p}_{database}_db", p = self.prefix)
    }

    /// Settings of services that connect as the application and migrate as the owner.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        for (section, service) in DATABASES {
            settings.push((format!("{section}__URL"), self.url(service, "app")));
            settings.push((format!("{section}__MIGRATION_URL"), self.url(service, "owner")));
            settings.push((format!("{section}__MIGRATE"), "false".to_owned()));
        }
        settings
    }
}

/// Of every role, as far as tests say one.
pub const PASSWORD: &str = "hunter2hunter2";

impl Drop for Databases {
    fn drop(&mut self) {
        for (_, service) in DATABASES {
            let name = format!("{}_{service}", self.prefix);
            let commands = [
                format!("DROP DATABASE IF EXISTS {name}_db WITH (FORCE)"),
                format!("DROP ROLE IF EXISTS {name}_owner"),
                format!("DROP ROLE IF EXISTS {name}_app"),
            ];
            let arguments = commands.iter().flat_map(|command| ["-c", command.as_str()]);
            let _ = Command::new("psql").arg("-qX").args(arguments).arg(&self.server).output();
        }
    }
}
