//! Payment: follows booking's facts, asks a provider to move money, and tells what came of it.
//!
//! - [`domain`]: payments, steps, refunds and the ledger as pure decisions
//! - [`application`]: the saga's paying half, the step worker, what the provider tells unasked, what waits too long, ports
//! - [`infrastructure`]: database, gRPC, providers
//! - [`config`], [`migrations`]: settings and schema

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::bus::Bus;
use common::clock::Clock;
use common::db::Db;
use common::fact_service::{FactApi, PeerFacts};
use common::grpc::{MESSAGE_BYTES_MAX, MeshChannel, Server};
use common::inbox::ConsumerSettings;
use common::messaging::{self, Intake};
use common::outbox::Outbox;
use common::proto::payment::v1::payment_service_server::PaymentServiceServer;
use common::runtime::{Host, Shutdown, Tasks};
use common::schema;
use common::settings::Settings;
use common::tls;
use sea_orm::DbErr;
use tokio::sync::Notify;

pub mod application;
pub mod config;
pub mod domain;
pub mod infrastructure;
pub mod migrations;

pub use config::Config;

use application::listen::Listener;
use application::ports::{PaymentStore, Provider};
use application::saga::Saga;
use application::steps::StepWorker;
use application::waiting::Waiting;
use application::watch::Watch;
use infrastructure::callbacks::{CallbackApi, PATH};
use infrastructure::grpc::{ACCESS, PaymentApi, SERVICE_NAME};
use infrastructure::provider::courier::Courier;
use infrastructure::provider::http::HttpProvider;
use infrastructure::provider::simulated::{self, Callbacks, SimulatedProvider};
use infrastructure::store::SqlStore;

/// Where payment's facts are published.
pub const TOPIC: &str = "eventix.payment.v1";
/// Where booking's facts are read.
const BOOKING_TOPIC: &str = "eventix.booking.v1";
/// How long tasks may take to end after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Brings the payment database up to date; names of the migrations that were applied.
///
/// # Errors
/// The database cannot be migrated.
pub async fn migrate(db: &Db) -> Result<Vec<String>, DbErr> {
    schema::migrate::<migrations::Migrator>(db).await
}

/// Brings the simulated provider's ledger up to date; names of the migrations that were applied.
///
/// # Errors
/// The database cannot be migrated.
pub async fn migrate_provider(db: &Db) -> Result<Vec<String>, DbErr> {
    schema::migrate::<simulated::migrations::Migrator>(db).await
}

/// Runs payment until shutdown.
///
/// # Errors
/// Bad settings, no database, or the first task that fails.
pub async fn serve(config: Config, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
    config.validate()?;
    let db = Db::open(&config.database).await.context("connecting to the database of payment")?;
    schema::prepare::<migrations::Migrator>(&db, "payment", &config.database, config.process.mode).await?;
    let (provider, callbacks) = open_provider(&config).await?;

    let outbox = Outbox::new(db.clone(), "payment", TOPIC);
    let steps_wake = Arc::new(Notify::new());
    let store: Arc<dyn PaymentStore> =
        Arc::new(SqlStore::new(db.clone(), outbox.clone(), steps_wake.clone(), host.instance.clone()));
    let mut tasks = Tasks::new(shutdown);

    let worker = StepWorker::new(store.clone(), provider.clone(), steps_wake, config.steps());
    tasks.spawn("payment steps", worker.run(tasks.shutdown()));
    let watch = Watch::new(store.clone(), config.unknown_alarm);
    tasks.spawn("payment watch", watch.run(tasks.shutdown()));
    if let Some(address) = config.callback.listen {
        let listener = Listener::new(store.clone(), provider, config.steps());
        listen(&mut tasks, &config, address, listener, callbacks, host.clock).await?;
    }

    let bookings = MeshChannel::new("booking", config.booking.endpoints.all())?;
    // The one place where facts leave and enter: outbox and saga are handed to the messages.
    let booking = Intake {
        producer: "booking",
        topic: BOOKING_TOPIC,
        handler: Arc::new(Saga::new(store.clone())),
        source: PeerFacts::new(bookings, host.identity.tokens.clone()),
    };
    let settings = messaging::Settings {
        bus: Bus::with(&config.brokers, &config.kafka)?,
        owner: host.instance,
        lease: config.lease,
        consumer: ConsumerSettings { waiting: config.waiting, ..ConsumerSettings::default() },
    };
    let consumers = messaging::start(&mut tasks, &db, &outbox, "payment", vec![booking], settings);
    for consumer in consumers {
        let waiting = Waiting::new(store.clone(), config.waiting);
        tasks.spawn("payment waiting", waiting.run(consumer, tasks.shutdown()));
    }

    let api =
        PaymentServiceServer::new(PaymentApi::new(db.clone(), store)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let server = Server::new("payment", host.identity.verifier, ACCESS)
        .add(api)
        .add(FactApi::service(outbox))
        .reflecting(!config.process.is_production());
    tasks.spawn("payment grpc", server.serve(host.listener, SERVICE_NAME, tasks.shutdown()));
    host.health.serving(Arc::new(db));
    tasks.run(DRAIN).await
}

/// The provider that the settings name, and what it tells by callback when it works in this process.
async fn open_provider(config: &Config) -> anyhow::Result<(Arc<dyn Provider>, Option<Callbacks>)> {
    let settings = &config.provider;
    if settings.is_remote() {
        let ca_file = Some(settings.ca_file.as_path()).filter(|file| !file.as_os_str().is_empty());
        let provider = HttpProvider::new(&settings.url, settings.secret.expose(), tls::client_config(ca_file)?)?;
        return Ok((Arc::new(provider), None));
    }
    let (ledger, mode) = (&settings.database, config.process.mode);
    let db = Db::open(ledger).await.context("connecting to the provider's ledger")?;
    schema::prepare::<simulated::migrations::Migrator>(&db, "payment", ledger, mode).await?;
    let provider = SimulatedProvider::new(db);
    if config.callback.listen.is_none() {
        return Ok((Arc::new(provider), None));
    }
    let (provider, callbacks) = provider.telling();
    Ok((Arc::new(provider), Some(callbacks)))
}

/// Opens the endpoint for callbacks, and has those of the simulated provider brought there.
async fn listen(
    tasks: &mut Tasks,
    config: &Config,
    address: SocketAddr,
    listener: Listener,
    callbacks: Option<Callbacks>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let socket = common::grpc::bind(address).await?;
    let (secrets, target) = (config.callback_secrets()?, format!("http://{}{PATH}", socket.local_addr()?));
    tracing::debug!(target, "callbacks of the provider are taken at {target}");
    let api = CallbackApi::new(listener, secrets.clone(), clock.clone());
    tasks.spawn("payment callbacks", api.serve(socket, tasks.shutdown()));
    if let Some(callbacks) = callbacks {
        let courier = Courier::new(callbacks, &target, secrets, clock)?;
        tasks.spawn("callbacks of the simulated provider", courier.run(tasks.shutdown()));
    }
    Ok(())
}
