//! The GraphQL edge: one HTTP listener over the gRPC mesh. It translates and delegates; rules live in the services.
//!
//! - [`config`]: settings; [`limits`]: what a document may cost before it is executed
//! - [`http`]: router, GraphQL over HTTP, health, metrics, the development page
//! - [`schema`], [`graphql`]: the schema, by feature; [`viewer`]: who asks; [`error`]: refusals and faults; [`cursor`]: signed cursors
//! - [`clients`]: the three services

pub mod clients;
pub mod config;
pub mod cursor;
pub mod error;
pub mod graphql;
pub mod http;
pub mod limits;
pub mod schema;
pub mod viewer;

use std::sync::Arc;
use std::time::Duration;

use common::dev_issuer::DevIssuer;
use common::runtime::{Host, Shutdown, Tasks};
use common::settings::Settings;

pub use config::Config;
pub use schema::sdl;

/// Time beyond the drain for the server to end by itself.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// Serves GraphQL until `shutdown`, then lets requests under way finish.
///
/// `dev` marks the embedded run: its issuer mints tokens at `/dev/token`, the GraphiQL page stands at `/`, introspection
/// and CORS are open.
///
/// # Errors
/// Settings that cannot be, or the listener breaks.
pub async fn serve(config: Config, host: Host, dev: Option<Arc<DevIssuer>>, shutdown: Shutdown) -> anyhow::Result<()> {
    config.validate()?;
    let patience = config.drain_delay() + config.drain + DRAIN_SLACK;
    let Host { listener, identity, health, clock: _, instance: _ } = host;
    let app = http::App::new(config, identity, dev, shutdown.clone())?;
    health.serving(app.readiness());

    let mut tasks = Tasks::new(shutdown.clone());
    tasks.spawn("http", http::serve(listener, app, shutdown));
    tasks.run(patience).await
}
