//! A Redis of a test's own, as a process to be killed, frozen and emptied.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::ports;
use super::process::Process;

/// Names the program, where it is not simply `redis-server`.
const SERVER: &str = "EVENTIX_TEST_REDIS_SERVER";

/// A server without persistence.
pub struct Redis {
    addr: SocketAddr,
    /// The process, when it runs.
    pub process: Option<Process>,
    folder: TempDir,
}

impl Redis {
    /// Starts one.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("eventix-redis-").tempdir().unwrap();
        let mut redis = Self { addr: ports::free(), process: None, folder };
        redis.resume().await;
        redis
    }

    /// As settings name it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr)
    }

    /// Starts it where it was, empty.
    pub async fn resume(&mut self) {
        let mut command = Command::new(std::env::var_os(SERVER).unwrap_or_else(|| "redis-server".into()));
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &self.addr.port().to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(self.folder.path());
        let mut process = Process::spawn(&mut command, &self.folder.path().join("log"));
        let addr = self.addr;
        process.until("redis-server listens", async || TcpStream::connect(addr).await.ok()).await;
        self.process = Some(process);
    }

    /// `kill -9`.
    pub async fn kill(&mut self) {
        self.process.take().expect("a running Redis").kill9().await;
    }

    /// How many keys it has.
    pub async fn keys(&self) -> usize {
        let answer = self.ask("DBSIZE").await;
        answer.trim_start_matches(':').parse().unwrap_or_else(|_| panic!("DBSIZE: {answer}"))
    }

    /// Puts something into it that nobody else does.
    pub async fn mark(&self) {
        assert_eq!(self.ask("SET mark 1").await, "+OK");
    }

    /// Whether that is still there.
    pub async fn is_marked(&self) -> bool {
        self.ask("EXISTS mark").await == ":1"
    }

    /// Takes everything out of it.
    pub async fn flush(&self) {
        assert_eq!(self.ask("FLUSHALL").await, "+OK");
    }

    /// One inline command and the first line of its answer.
    async fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).await.unwrap();
        answer.trim_end().to_owned()
    }
}
