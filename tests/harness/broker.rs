//! The development broker as a process of its own, on one port through all its lives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::ports;
use super::process::Process;

/// A broker that can be killed, frozen, and lose everything.
pub struct Broker {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The process, when it runs.
    pub process: Option<Process>,
    data: PathBuf,
    folder: TempDir,
}

impl Broker {
    /// Starts one with an empty log, in a folder of the test's or of its own.
    pub async fn start(data: Option<&Path>) -> Self {
        let folder = tempfile::Builder::new().prefix("eventix-broker-").tempdir().unwrap();
        let data = data.unwrap_or(folder.path()).join("broker.db");
        let mut broker = Self { addr: ports::free(), process: None, data, folder };
        broker.resume().await;
        broker
    }

    /// Starts it on whatever is left of its log.
    pub async fn resume(&mut self) {
        let mut command = Command::new(binary());
        command.args(["--listen", &self.addr.to_string(), "--data"]).arg(&self.data);
        let mut process = Process::spawn(&mut command, &self.folder.path().join("output"));
        let addr = self.addr;
        process.until("the broker listens", async || TcpStream::connect(addr).await.ok()).await;
        self.process = Some(process);
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.process.take().expect("a running broker").kill9().await;
    }

    /// Removes its log while it is down.
    pub fn lose_data(&self) {
        assert!(self.process.is_none(), "a running broker keeps its log");
        for ending in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", self.data.display()));
        }
        assert!(!self.data.exists());
    }
}

/// Programs of other packages stand beside the product's.
fn binary() -> PathBuf {
    let binary = Path::new(super::EVENTIX).with_file_name("eventix-devbroker");
    assert!(binary.is_file(), "{} is missing: run the tests through ./tests/run", binary.display());
    binary
}
