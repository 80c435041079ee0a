//! A whole product as a process of its own, and a GraphQL client for it: what every end-to-end test stands on.
//!
//! Ports are free ones and the folder is temporary, so tests run beside each other and beside a running Eventix.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![expect(clippy::unwrap_used, reason = "a test stops at anything unexpected")]

pub mod broker;
pub mod mesh;
pub mod plans;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod redis;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The binary under test.
pub const EVENTIX: &str = env!("CARGO_BIN_EXE_eventix");
/// Names another build of it that meshes are made of: an optimised one takes more bookings a second. It has no failpoints.
pub const MESH_BINARY: &str = "EVENTIX_TEST_MESH_BINARY";
/// Time for a start or a stop, on a busy machine and a debug build.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Time for one HTTP exchange.
const EXCHANGE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A running product; killed and removed when dropped.
pub struct Product {
    /// Its data folder.
    pub data: PathBuf,
    /// GraphQL's address.
    pub http: SocketAddr,
    /// The services' addresses.
    pub grpc: Grpc,
    /// The broker's address.
    pub broker: SocketAddr,
    args: Vec<String>,
    env: Vec<(String, String)>,
    child: Option<Child>,
    client: Client<HttpConnector, Full<Bytes>>,
    folder: TempDir,
}

/// The services' addresses.
pub struct Grpc {
    pub catalog: SocketAddr,
    pub booking: SocketAddr,
    pub payment: SocketAddr,
}

impl Product {
    /// Starts a product with further arguments of `up`, and returns once it is ready.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same, with settings from the environment, for instance `("EVENTIX_BOOKING__HOLD", "3s")`.
    pub fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let folder = tempfile::Builder::new().prefix("eventix-test-").tempdir().unwrap();
        let mut product = Self {
            data: folder.path().join("data"),
            http: nowhere,
            grpc: Grpc { catalog: nowhere, booking: nowhere, payment: nowhere },
            broker: nowhere,
            args: args.iter().map(ToString::to_string).collect(),
            env: env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            child: None,
            client: Client::builder(TokioExecutor::new()).build_http(),
            folder,
        };
        product.spawn();
        product
    }

    fn spawn(&mut self) {
        let log = |name: &str| {
            let path = self.folder.path().join(name);
            Stdio::from(File::options().create(true).append(true).open(path).unwrap())
        };
        let child = Command::new(EVENTIX)
            .args(["up", "--listen", "127.0.0.1:0", "--grpc-base-port", "0", "--data"])
            .arg(&self.data)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log("stdout"))
            .stderr(log("stderr"))
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.wait_until_ready();
    }

    fn wait_until_ready(&mut self) {
        let until = Instant::now() + PATIENCE;
        let pid = self.pid();
        loop {
            if let Some(run) = run_file(&self.data).filter(|run| run["pid"] == pid) {
                let at = |value: &Value| value.as_str().unwrap().parse().unwrap();
                self.http = at(&run["http"]);
                self.broker = at(&run["broker"]);
                let grpc = &run["grpc"];
                self.grpc = Grpc {
                    catalog: at(&grpc["catalog"]),
                    booking: at(&grpc["booking"]),
                    payment: at(&grpc["payment"]),
                };
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the product ended: {ended:?}\n{}", self.log());
            assert!(Instant::now() < until, "the product was not ready in time\n{}", self.log());
            sleep(PAUSE);
        }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Everything it has written to stdout since the first start.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// Everything it has written to stderr since the first start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        let mut child = self.child.take().expect("it runs");
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > until {
                let _ = child.kill();
                panic!("the product did not stop in time\n{}", self.log());
            }
            sleep(PAUSE);
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again on the same folder, with new ports; stops it first if it still runs.
    pub fn restart(&mut self) {
        if self.child.is_some() {
            self.stop();
        }
        self.spawn();
    }

    /// A command on this product's folder.
    pub fn command(&self, args: &[&str]) -> Output {
        eventix(&[args, &["--data", self.data.to_str().unwrap()]].concat())
    }

    /// A development token.
    pub fn token(&self, user: &str, role: &str) -> String {
        token(user, role)
    }

    /// Runs a query and returns the whole answer; an HTTP status outside 2xx fails the test.
    pub async fn graphql(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let (status, answer) = self.post(token, query, variables).await.expect("an HTTP answer");
        assert!(status.is_success(), "HTTP {status}: {answer}");
        answer
    }

    /// Runs a query and returns its data; any top-level error fails the test.
    pub async fn data(&self, token: Option<&str>, query: &str, variables: Value) -> Value {
        let mut answer = self.graphql(token, query, variables).await;
        assert!(answer.get("errors").is_none(), "{answer}");
        answer["data"].take()
    }

    /// One exchange, whatever comes of it: status and answer, or why there is none.
    pub async fn post(
        &self,
        token: Option<&str>,
        query: &str,
        variables: Value,
    ) -> anyhow::Result<(http::StatusCode, Value)> {
        let body = json!({"query": query, "variables": variables}).to_string();
        let mut request = http::Request::post(format!("http://{}/graphql", self.http))
            .header("content-type", "application/json")
            .header("accept", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let exchange = async {
            let response = self.client.request(request.body(Full::from(body))?).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            let answer = serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
            Ok((status, answer))
        };
        tokio::time::timeout(EXCHANGE, exchange).await?
    }

    /// A GET of a path, for instance `/metrics`.
    pub async fn get(&self, path: &str) -> (http::StatusCode, String) {
        let uri = format!("http://{}{path}", self.http).parse().unwrap();
        let response = tokio::time::timeout(EXCHANGE, self.client.get(uri)).await.unwrap().unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of the product ---\n{}", self.log());
        }
    }
}

/// Runs a command of the binary to its end.
pub fn eventix(args: &[&str]) -> Output {
    Command::new(EVENTIX).args(args).stdin(Stdio::null()).output().unwrap()
}

/// A development token.
pub fn token(user: &str, role: &str) -> String {
    let output = eventix(&["token", "--user", user, "--role", role]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// Whether the admin side of a process says that requests may come.
pub async fn is_ready(admin: SocketAddr) -> bool {
    admin_page(admin, "/health/ready").await.is_ok_and(|answer| answer.contains(" 200 OK"))
}

/// A page of an admin side with its head, read to the end.
pub async fn admin_page(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(admin).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(EXCHANGE, ask).await?
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands in `run.json`, if it is there.
pub fn run_file(data: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(data.join("run.json")).ok()?).ok()
}

/// Asks again until an answer is there; fails the test when time is up.
pub async fn eventually<T>(what: &str, patience: Duration, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < until, "{what} did not happen within {patience:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
