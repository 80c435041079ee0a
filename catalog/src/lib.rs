//! Catalog: venues, seating plans, events and prices, and the offers that booking sells from.
//!
//! - [`domain`]: what can be sold and on which terms; pure
//! - [`application`]: the stories of its writers, and the ports they need
//! - [`infrastructure`]: gRPC, SQL and the client of booking; reads go straight from here to the tables
//! - [`config`]: settings; `migrations`: the schema
//!
//! Catalog tells facts on `eventix.catalog.v1` and consumes none. Once booking holds an offer, no sale needs catalog.

pub mod application;
pub mod config;
pub mod domain;
pub mod infrastructure;
mod migrations;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::bus::Bus;
use common::db::Db;
use common::grpc::MeshChannel;
use common::inbox::ConsumerSettings;
use common::messaging;
use common::outbox::Outbox;
use common::runtime::{Host, Shutdown, Tasks};
use common::schema;
use common::settings::Settings;

use self::application::App;
pub use self::config::Config;
use self::infrastructure::booking_client::BookingClient;
use self::infrastructure::grpc::{Api, SERVICE};
use self::infrastructure::store::SqlStore;

/// Name of this service in facts.
const PRODUCER: &str = "catalog";
/// Where its facts go.
const TOPIC: &str = "eventix.catalog.v1";
/// How long calls under way may take after the stop signal.
const DRAIN: Duration = Duration::from_secs(10);

/// Brings the database to the newest schema; names of the migrations that were applied.
///
/// # Errors
/// A statement fails.
pub async fn migrate(db: &Db) -> anyhow::Result<Vec<String>> {
    schema::migrate::<migrations::Migrator>(db).await.context("migrating the database of catalog")
}

/// Runs catalog until `shutdown`, or until something in it fails.
///
/// # Errors
/// Bad settings, no database, or the first task that fails.
pub async fn serve(config: Config, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
    config.validate()?;
    let db = Db::open(&config.database).await.context("connecting to the database of catalog")?;
    schema::prepare::<migrations::Migrator>(&db, "catalog", &config.database, config.process.mode).await?;

    let outbox = Outbox::new(db.clone(), PRODUCER, TOPIC);
    let store = Arc::new(SqlStore::new(db.clone(), outbox.clone(), host.clock.clone()));
    let booking = MeshChannel::new("booking", config.booking.endpoints.all())?;
    let booking = Arc::new(BookingClient::new(booking, host.identity.tokens.clone()));
    let app = App::new(store, booking, host.clock);
    let server = Api::new(app, db.clone(), outbox.clone())
        .server(host.identity.verifier)
        .reflecting(!config.process.is_production());

    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("catalog gRPC server", server.serve(host.listener, SERVICE, shutdown));
    let settings = messaging::Settings {
        bus: Bus::with(&config.brokers, &config.kafka)?,
        owner: host.instance,
        lease: config.lease,
        consumer: ConsumerSettings::default(),
    };
    messaging::start(&mut tasks, &db, &outbox, PRODUCER, vec![], settings);
    host.health.serving(Arc::new(db));
    tasks.run(DRAIN).await
}
