//! The GraphQL edge: one HTTP listener over the gRPC mesh. It translates and delegates; rules live in the services.
//!
//! - [`config`]: settings; [`limits`]: what a document may cost before it is executed
//! - [`http`]: router, GraphQL over HTTP, health, metrics, the development page
//! - [`schema`], [`graphql`]: the schema, by feature; [`viewer`]: who asks; [`error`]: refusals and faults; [`cursor`]: signed cursors
//! - [`clients`]: the three services; [`cache`]: what is kept of catalog between requests; [`redis`]: what replicas share
//! - [`rate_limit`]: how often one caller may ask

pub mod cache;
pub mod clients;
pub mod config;
pub mod cursor;
pub mod error;
pub mod graphql;
pub mod http;
pub mod limits;
pub mod rate_limit;
pub mod redis;
pub mod schema;
pub mod viewer;

use std::sync::Arc;

use common::bus::Bus;
use common::dev_issuer::DevIssuer;
use common::runtime::{Host, Shutdown, Tasks};
use common::settings::Settings;

pub use config::Config;
pub use schema::sdl;

/// Serves GraphQL until `shutdown`, then lets requests under way finish.
///
/// `dev` marks the embedded run: its issuer mints tokens at `/dev/token`, the GraphiQL page stands at `/`, introspection
/// and CORS are open.
///
/// # Errors
/// Settings that cannot be, or the listener breaks.
pub async fn serve(config: Config, host: Host, dev: Option<Arc<DevIssuer>>, shutdown: Shutdown) -> anyhow::Result<()> {
    config.validate()?;
    let patience = config.patience();
    let Host { listener, identity, health, clock, instance: _ } = host;
    let log = (!config.brokers.is_empty()).then(|| Bus::with(&config.brokers, &config.kafka)).transpose()?;
    let app = http::App::new(config, identity, clock, dev, shutdown.clone())?;
    health.serving(app.readiness());

    let mut tasks = Tasks::new(shutdown.clone());
    if let Some(log) = log {
        tasks.spawn("catalog's facts", cache::facts::follow(log, app.catalog(), shutdown.clone()));
    }
    tasks.spawn("http", http::serve(listener, app, shutdown));
    tasks.run(patience).await
}
