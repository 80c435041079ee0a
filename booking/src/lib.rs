//! Booking: holds seats, confirms what was paid, issues tickets. Sells each seat once.
//!
//! - [`domain`]: states and rules, no I/O
//! - `application`: one file per story, and the saga's deciding half
//! - `infrastructure`: store, gRPC, the catalogue as booking sees it
//! - `migrations`: the tables

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::bus::Bus;
use common::db::Db;
use common::fact_service::{FactApi, PeerFacts};
use common::grpc::{MESSAGE_BYTES_MAX, MeshChannel, Server};
use common::inbox::ConsumerSettings;
use common::messaging::{self, Intake};
use common::outbox::Outbox;
use common::proto::booking::v1::booking_service_server::BookingServiceServer;
use common::runtime::{Host, Shutdown, Tasks};
use common::schema;
use common::settings::Settings;

pub mod application;
mod config;
pub mod domain;
pub mod infrastructure;
mod migrations;

pub use config::Config;

use application::ask::Asker;
use application::offers::Offers;
use application::saga::{CatalogFacts, PaymentFacts};
use application::sweep;
use infrastructure::catalog_client::CatalogClient;
use infrastructure::grpc::{ACCESS, Api};
use infrastructure::store::Store;
use infrastructure::ticket_key::TicketKey;

/// Where booking tells its facts.
pub const TOPIC: &str = "eventix.booking.v1";
/// How long calls under way may take after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Creates or upgrades the tables; names of the migrations that were applied.
pub async fn migrate(db: &Db) -> anyhow::Result<Vec<String>> {
    schema::migrate::<migrations::Migrator>(db).await.context("migrating the database of booking")
}

/// Runs the service until shutdown.
///
/// # Errors
/// The database cannot be reached or migrated, or a task fails.
pub async fn serve(config: Config, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
    config.validate()?;
    let db = Db::open(&config.database).await.context("connecting to the database of booking")?;
    schema::prepare::<migrations::Migrator>(&db, "booking", &config.database, config.process.mode).await?;

    let outbox = Outbox::new(db.clone(), "booking", TOPIC);
    let tickets = TicketKey::load(&db).await?;
    let store = Arc::new(Store::new(db.clone(), outbox.clone(), tickets, config.terms()));
    let tokens = &host.identity.tokens;
    let catalog = MeshChannel::new("catalog", config.catalog.endpoints.all())?;
    let payment = MeshChannel::new("payment", config.payment.endpoints.all())?;
    let source = Arc::new(CatalogClient::new(catalog.clone(), tokens.clone()));
    let offers = Arc::new(Offers::new(store.clone(), source));

    let mut tasks = Tasks::new(shutdown.clone());
    let intakes = vec![
        Intake {
            producer: "payment",
            topic: "eventix.payment.v1",
            handler: Arc::new(PaymentFacts::new(store.clone())),
            source: PeerFacts::new(payment, tokens.clone()),
        },
        Intake {
            producer: "catalog",
            topic: "eventix.catalog.v1",
            handler: Arc::new(CatalogFacts::new(store.clone(), offers.clone())),
            source: PeerFacts::new(catalog, tokens.clone()),
        },
    ];
    let settings = messaging::Settings {
        bus: Bus::with(&config.brokers, &config.kafka)?,
        owner: host.instance,
        lease: config.lease,
        consumer: ConsumerSettings {
            fetch_wait: config.fetch_wait,
            waiting: config.waiting,
            ..ConsumerSettings::default()
        },
    };
    let consumers = messaging::start(&mut tasks, &db, &outbox, "booking", intakes, settings);

    let payments = consumers.into_iter().next().context("no consumer of payment's facts")?;
    let asker = Asker::new(store.clone(), payments, config.sweep, config.waiting);
    tasks.spawn("booking asker", asker.run(shutdown.clone()));
    tasks.spawn("booking sweeper", sweep::run(store.clone(), config.sweep, shutdown.clone()));
    tasks.spawn("booking offers", offers.clone().run(shutdown.clone()));

    let api = BookingServiceServer::new(Api::new(store, offers)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let server = Server::new("booking", host.identity.verifier, ACCESS).add(api).add(FactApi::service(outbox));
    let server = server.reflecting(!config.process.is_production());
    tasks.spawn("booking server", server.serve(host.listener, "eventix.booking.v1.BookingService", shutdown));
    host.health.serving(Arc::new(db));
    tasks.run(DRAIN).await
}
