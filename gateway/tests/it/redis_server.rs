//! A Redis of a test's own, as a process to be killed, frozen and lied through.

use std::net::SocketAddr;
use std::process::Stdio;

use bytes::Bytes;
use fred::prelude::{Builder, Client, ClientLike, Config, FromValue, Value};
use fred::types::{ClusterHash, CustomCommand};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::world::eventually;

pub struct RedisServer {
    address: SocketAddr,
    folder: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    pub async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut server = Self { address: free, folder: TempDir::new().unwrap(), process: None };
        server.restart().await;
        server
    }

    /// Starts it, empty, where it was.
    pub async fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let child = Command::new(binary())
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server starts: run the tests through ./tests/run, which installs it");
        self.process = Some(child);
        let address = self.address;
        eventually("redis-server listens", async || TcpStream::connect(address).await.is_ok()).await;
    }

    pub async fn kill(&mut self) {
        self.process.take().expect("it runs").kill().await.unwrap();
        assert!(TcpStream::connect(self.address).await.is_err(), "nobody listens any more");
    }

    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether the kernel says it is stopped.
    pub fn is_frozen(&self) -> bool {
        let id = self.process.as_ref().and_then(Child::id).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().and_then(Child::id).unwrap();
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), signal).unwrap();
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> Connection {
        let client = Builder::from_config(Config::from_url(&self.url()).unwrap()).build().unwrap();
        client.init().await.unwrap();
        Connection(client)
    }
}

fn binary() -> std::ffi::OsString {
    let named = std::env::var_os("EVENTIX_TEST_REDIS_SERVER");
    named.unwrap_or_else(|| "redis-server".into())
}

/// Looks into a Redis, and writes what nobody should.
pub struct Connection(Client);

impl Connection {
    async fn command<T: FromValue>(&self, name: &'static str, args: Vec<Value>) -> T {
        let command = CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        self.0.custom(command, args).await.unwrap()
    }

    pub async fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.command("KEYS", vec!["*".into()]).await;
        keys.sort();
        keys
    }

    pub async fn get(&self, key: &str) -> Option<Bytes> {
        self.command("GET", vec![key.into()]).await
    }

    /// Overwrites a value, and lets it lie for a minute.
    pub async fn set(&self, key: &str, value: Bytes) {
        self.command::<()>("SET", vec![key.into(), value.into(), "EX".into(), 60.into()]).await;
    }

    /// Puts a list where a text was.
    pub async fn set_list(&self, key: &str) {
        self.command::<()>("DEL", vec![key.into()]).await;
        self.command::<()>("RPUSH", vec![key.into(), "x".into()]).await;
    }

    pub async fn flush(&self) {
        self.command::<()>("FLUSHALL", vec![]).await;
        assert!(self.keys().await.is_empty());
    }
}
