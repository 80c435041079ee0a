//! Brokers to meet: ours in this process, ours as a process of its own, and one that shares no code with us.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::bus::Bus;
use devbroker::{Config, Running};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::contract::BrokerUnderTest;
use crate::world::eventually;

/// The development broker in this process, on one port through all its restarts.
pub struct Broker {
    pub addr: SocketAddr,
    folder: TempDir,
    logs: usize,
    running: Option<(Running, oneshot::Sender<()>)>,
}

impl Broker {
    pub async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut broker = Self { addr: "127.0.0.1:0".parse().unwrap(), folder, logs: 0, running: None };
        broker.resume().await;
        broker
    }

    /// Serves again what was there before.
    pub async fn resume(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let data = self.folder.path().join(format!("log-{}", self.logs));
        let config = Config { listen: self.addr, data, advertised: None };
        let running = devbroker::serve(config, async { drop(stopped.await) }).await.unwrap();
        self.addr = running.addr;
        self.running = Some((running, stop));
    }

    pub async fn stop(&mut self) {
        let (running, stop) = self.running.take().expect("a running broker");
        stop.send(()).unwrap();
        running.stopped().await.unwrap();
    }

    /// Loses everything; to be called while it is stopped.
    pub fn lose_data(&mut self) {
        self.logs += 1;
    }
}

/// A broker as a process of its own, to be frozen and killed.
pub struct Process {
    pub addr: SocketAddr,
    child: Child,
    /// The foreign one sleeps through its long poll.
    fetch_wait: Duration,
    says_out_of_range: bool,
    _folder: Option<TempDir>,
}

impl Process {
    /// The development broker's binary with a new log.
    pub async fn devbroker() -> Self {
        let folder = TempDir::new().unwrap();
        let mut process = Self::devbroker_at(free_port().await, &folder.path().join("log")).await;
        process._folder = Some(folder);
        process
    }

    /// The same, telling its clients another address than its own.
    pub async fn devbroker_known_as(advertised: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let addr = free_port().await;
        let mut command = devbroker(addr, &folder.path().join("log"));
        command.args(["--advertised", advertised]);
        let mut process = Self::spawn(command, addr, Duration::from_millis(500), true).await;
        process._folder = Some(folder);
        process
    }

    pub async fn devbroker_at(addr: SocketAddr, data: &Path) -> Self {
        Self::spawn(devbroker(addr, data), addr, Duration::from_millis(500), true).await
    }

    /// A broker that shares no code with us: tansu, in memory.
    pub async fn foreign() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
        let binary = std::env::var("EVENTIX_TEST_FOREIGN_BROKER")
            .expect("EVENTIX_TEST_FOREIGN_BROKER must name a tansu binary: run the tests through ./tests/run");
        let addr = free_port().await;
        let url = format!("tcp://{addr}");
        let mut command = Command::new(binary);
        command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
        command.args(["--storage-engine", "memory://tansu/"]);
        Self::spawn(command, addr, Duration::from_millis(20), false).await
    }

    async fn spawn(mut command: Command, addr: SocketAddr, fetch_wait: Duration, says_out_of_range: bool) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        eventually("the broker accepts connections", || async { TcpStream::connect(addr).await.ok() }).await;
        Self { addr, child, fetch_wait, says_out_of_range, _folder: None }
    }

    /// SIGKILL, and wait for the end.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().expect("a running broker")).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }
}

impl BrokerUnderTest for Process {
    fn bus(&self) -> Bus {
        Bus::new(&self.addr.to_string())
    }

    /// Every test starts a broker of its own.
    fn topic(&self, name: &str) -> String {
        name.to_owned()
    }

    fn fetch_wait(&self) -> Duration {
        self.fetch_wait
    }

    fn says_out_of_range(&self) -> bool {
        self.says_out_of_range
    }

    fn freeze(&self) {
        self.signal(Signal::STOP);
        // The signal takes effect a moment after it was sent.
        let until = Instant::now() + Duration::from_secs(5);
        while !all_threads_stopped(self.child.id().expect("a running broker")) {
            assert!(Instant::now() < until, "the broker does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn thaw(&self) {
        self.signal(Signal::CONT);
    }
}

/// Whether every thread of a process is in state T: proc(5), `stat`, the field behind the name in parentheses.
fn all_threads_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stat = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default()
    };
    threads.map(stat).all(|stat| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T')))
}

fn devbroker(addr: SocketAddr, data: &Path) -> Command {
    let mut command = Command::new(devbroker_binary());
    command.args(["--listen", &addr.to_string(), "--data"]).arg(data);
    command
}

/// Test binaries stand in `target/…/deps`, programs one folder up.
fn devbroker_binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let binary = tests.parent().and_then(Path::parent).unwrap().join("eventix-devbroker");
    assert!(binary.is_file(), "{} is missing: run the tests through ./tests/run", binary.display());
    binary
}

async fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
