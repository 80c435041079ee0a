//! A PostgreSQL of a test's own, for tests that hurt it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::process::Process;
use super::{ports, text};

/// Names the folder of PostgreSQL's programs.
const PROGRAMS: &str = "EVENTIX_TEST_PG_BIN";
/// PostgreSQL refuses to run as root, so that it runs as one of these.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// A server; stopped and removed when dropped.
pub struct Postgres {
    addr: SocketAddr,
    process: Option<Process>,
    data: PathBuf,
    folder: TempDir,
}

impl Postgres {
    /// A new server with its data in a folder of its own.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same; `prepare` is given the empty folder of the data, for instance to mount something there.
    pub async fn start_with(prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::Builder::new().prefix("eventix-pg-").tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        prepare(&data);
        give_away(folder.path());
        give_away(&data);
        let mut postgres = Self { addr: ports::free(), process: None, data, folder };
        postgres.initialise().await;
        postgres.resume().await;
        postgres
    }

    /// Where its databases are: `postgres://…/postgres`.
    pub fn url(&self) -> String {
        self.url_by(self.addr)
    }

    /// The same by way of a proxy.
    pub fn url_by(&self, addr: SocketAddr) -> String {
        format!("postgres://postgres@{addr}/postgres")
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The folder of its data.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    async fn initialise(&self) {
        let mut initdb = program("initdb");
        initdb.arg("-D").arg(&self.data);
        // Its log in small pieces, so that a small disk has room for some.
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--wal-segsize=1",
        ]);
        let output = initdb.output().await.unwrap();
        assert!(output.status.success(), "initdb: {}{}", text(&output.stdout), text(&output.stderr));
    }

    /// Starts it on the data it left, and returns once it has recovered.
    pub async fn resume(&mut self) {
        let mut command = program("postgres");
        command.arg("-D").arg(&self.data).args(["-h", "127.0.0.1", "-p", &self.addr.port().to_string()]);
        command.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
        let mut process = Process::spawn(&mut command, &self.folder.path().join("log"));
        let url = self.url();
        process.until("PostgreSQL accepts connections", async || sea_orm::Database::connect(&url).await.ok()).await;
        self.process = Some(process);
    }

    /// Starts it again if it has given up.
    pub async fn resume_if_ended(&mut self) {
        if self.process.as_mut().is_none_or(|process| process.ended().is_some()) {
            self.resume().await;
        }
    }

    /// `pg_ctl stop -m immediate`: every session dies where it is, and the next start has to recover.
    pub async fn stop_immediately(&mut self) {
        let mut process = self.process.take().expect("a running PostgreSQL");
        process.signal(Signal::QUIT);
        process.end().await;
        assert!(TcpStream::connect(self.addr).await.is_err(), "somebody still listens");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(process) = &self.process else { return };
        // Dropping a process kills one; its children must go too before their folder is removed.
        process.signal(Signal::QUIT);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.data.join("postmaster.pid").exists() && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A program of PostgreSQL's, as a user it runs under.
fn program(name: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
    let folder = std::env::var(PROGRAMS)
        .unwrap_or_else(|_| panic!("{PROGRAMS} must name the folder of PostgreSQL's programs: run ./tests/run"));
    let mut command = Command::new(Path::new(&folder).join(name));
    if let Some((user, group)) = user() {
        command.uid(user).gid(group);
    }
    // It keeps its working folder, which it must be able to read.
    command.current_dir("/").env_remove("PGDATA");
    command
}

/// User and group that PostgreSQL runs as: `None` for whoever runs the tests.
fn user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    // passwd(5): name, password, user id, group id, ...
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let fields: Vec<&str> =
            users.lines().map(|line| line.split(':').collect()).find(|f: &Vec<&str>| f[0] == name)?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    Some(USERS.into_iter().find_map(ids).expect("root runs PostgreSQL as another user"))
}

/// Makes PostgreSQL's user the owner of a folder.
fn give_away(folder: &Path) {
    if let Some((user, group)) = user() {
        std::os::unix::fs::chown(folder, Some(user), Some(group)).unwrap();
    }
}
