//! `eventix provider`: the simulated payment provider as a process of its own, over a ledger of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use common::clock::SystemClock;
use common::runtime::{Shutdown, Tasks};
use common::telemetry::Telemetry;
use payment::infrastructure::provider::courier::Courier;
use payment::infrastructure::provider::server;
use payment::infrastructure::provider::signature::Secrets;
use payment::infrastructure::provider::simulated::SimulatedProvider;

use super::BadSettings;
use super::signals::Signals;
use crate::services::DRAIN;

/// Where the provider runs, and whom it tells.
#[derive(Debug, Args)]
#[command(after_help = "\
It moves no real money: test tokens choose what happens. Payment uses it when it is told so:
  EVENTIX_PAYMENT__PROVIDER__URL=http://127.0.0.1:7070 EVENTIX_PAYMENT__PROVIDER__SECRET=… \\
  EVENTIX_PAYMENT__CALLBACK__LISTEN=127.0.0.1:7071 eventix up
`eventix audit --provider-database URL` compares its ledger with payment's.")]
pub(super) struct ProviderArgs {
    /// Address of its API, port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Its ledger, sqlite:… or postgres:…; made when absent
    #[arg(long, value_name = "URL")]
    database: String,
    /// Where it tells unasked what it did, for instance http://127.0.0.1:7071/callbacks; absent: nowhere
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Secret that callers show and that signs callbacks; several while it is being changed, separated by commas
    #[arg(
        long,
        value_name = "SECRET",
        env = "EVENTIX_PROVIDER_SECRET",
        hide_env_values = true,
        value_delimiter = ',',
        required = true
    )]
    secret: Vec<String>,
}

pub(super) async fn run(args: ProviderArgs) -> anyhow::Result<()> {
    if args.secret.iter().any(String::is_empty) {
        return Err(BadSettings(anyhow::anyhow!("a secret must not be empty")).into());
    }
    let listener = common::grpc::bind(args.listen).await?;
    let signals = Signals::listen()?;
    let telemetry = Telemetry::start("eventix-provider")?;
    let shutdown = Shutdown::new();
    let provider = SimulatedProvider::open(&args.database).await.context("the provider's ledger")?;
    let mut tasks = Tasks::new(shutdown.clone());
    let provider = match &args.callback_url {
        None => provider,
        Some(target) => {
            let (provider, callbacks) = provider.telling();
            let secrets = Secrets::new(args.secret.iter().map(String::as_str));
            let courier = Courier::new(callbacks, target, secrets, Arc::new(SystemClock)).map_err(BadSettings)?;
            tasks.spawn("callbacks", courier.run(shutdown.clone()));
            provider
        }
    };
    println!("provider on {}", listener.local_addr()?);
    tasks.spawn("api", server::serve(listener, Arc::new(provider), args.secret, shutdown.clone()));
    let outcome = signals.guard(&shutdown, Box::pin(tasks.run(DRAIN))).await;
    telemetry.flush().await;
    outcome
}
