//! `eventix provider` as a process of its own, with a proxy on the way to it and one on the way back.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use super::mesh::{Databases, Plan, Service};
use super::process::Process;
use super::proxy::{Mood, Proxy};
use super::{EVENTIX, ports};

const SECRET: &str = "shown with every call";

/// A provider over the fourth of a mesh's databases, so that `audit` compares its ledger with payment's.
pub struct Provider {
    /// On the way to it.
    pub calls: Proxy,
    /// On the way of its callbacks to payment.
    pub callbacks: Proxy,
    callback_listen: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Provider {
    /// Starts one that tells by callback as well.
    pub async fn start(databases: &Databases) -> Self {
        let folder = tempfile::Builder::new().prefix("eventix-provider-").tempdir().unwrap();
        let (listen, callback_listen) = (ports::free(), ports::free());
        let (calls, callbacks) = (Proxy::to(listen).await, Proxy::to(callback_listen).await);
        let mut command = Command::new(EVENTIX);
        command
            .args(["provider", "--listen", &listen.to_string(), "--database", &databases.ledger_url()])
            .args(["--callback-url", &format!("http://{}/callbacks", callbacks.addr)])
            .env("EVENTIX_PROVIDER_SECRET", SECRET);
        let mut process = Process::spawn(&mut command, &folder.path().join("log"));
        process.until("the provider listens", async || TcpStream::connect(listen).await.ok()).await;
        Self { calls, callbacks, callback_listen, _process: process, _folder: folder }
    }

    /// The same, whose callbacks arrive nowhere.
    pub async fn start_mute(databases: &Databases) -> Self {
        let provider = Self::start(databases).await;
        provider.callbacks.turn(Mood::Cut);
        provider
    }

    /// Has payment use it.
    pub fn used_by(&self, plan: Plan) -> Plan {
        plan.with("EVENTIX_PAYMENT__PROVIDER__URL", format!("http://{}", self.calls.addr))
            .with("EVENTIX_PAYMENT__PROVIDER__SECRET", SECRET)
            .only(Service::Payment, "EVENTIX_PAYMENT__CALLBACK__LISTEN", self.callback_listen.to_string())
    }
}
