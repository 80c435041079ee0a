//! The four services as this binary runs them: which databases and peers each has, and where its settings come from.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::auth::Identity;
use common::clock::SystemClock;
use common::db::Db;
use common::dev_issuer::DevIssuer;
use common::oidc::{self, Keeper};
use common::runtime::{Host, Shutdown};
use common::settings::{DatabaseSettings, Loader, Process, Settings};

use crate::folder::Folder;

/// Time for what is under way in a process once stopping was asked for, unless its service says otherwise.
pub const DRAIN: Duration = Duration::from_secs(10);
/// What a service's own last word may take to reach the end of its process.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// A service.
pub trait Service: Settings + Send + 'static {
    /// Its databases: section of the settings, and name of the file in a data folder.
    const DATABASES: &'static [(&'static str, &'static str)];
    /// Sections of the services it calls.
    const PEERS: &'static [&'static str];

    /// Mode, addresses and trust.
    fn process(&self) -> &Process;

    /// Settings of the databases it uses, in the order of [`Service::DATABASES`].
    fn databases(&self) -> Vec<&DatabaseSettings>;

    /// Brings the database of a section up to date; names of the migrations that were applied.
    fn migrate(section: &str, db: &Db) -> impl Future<Output = anyhow::Result<Vec<String>>>;

    /// How long it may take to end once it was asked to.
    fn drain(&self) -> Duration {
        DRAIN
    }

    /// Runs it until shutdown.
    fn serve(self, host: Host, shutdown: Shutdown) -> impl Future<Output = anyhow::Result<()>> + Send;
}

impl Service for catalog::Config {
    const DATABASES: &'static [(&'static str, &'static str)] = &[("database", "catalog")];
    const PEERS: &'static [&'static str] = &["booking"];

    fn process(&self) -> &Process {
        &self.process
    }

    fn databases(&self) -> Vec<&DatabaseSettings> {
        vec![&self.database]
    }

    async fn migrate(_: &str, db: &Db) -> anyhow::Result<Vec<String>> {
        catalog::migrate(db).await
    }

    async fn serve(self, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
        catalog::serve(self, host, shutdown).await
    }
}

impl Service for booking::Config {
    const DATABASES: &'static [(&'static str, &'static str)] = &[("database", "booking")];
    const PEERS: &'static [&'static str] = &["catalog", "payment"];

    fn process(&self) -> &Process {
        &self.process
    }

    fn databases(&self) -> Vec<&DatabaseSettings> {
        vec![&self.database]
    }

    async fn migrate(_: &str, db: &Db) -> anyhow::Result<Vec<String>> {
        booking::migrate(db).await
    }

    async fn serve(self, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
        booking::serve(self, host, shutdown).await
    }
}

impl Service for payment::Config {
    const DATABASES: &'static [(&'static str, &'static str)] =
        &[("database", "payment"), ("provider.database", "provider")];
    const PEERS: &'static [&'static str] = &["booking"];

    fn process(&self) -> &Process {
        &self.process
    }

    fn databases(&self) -> Vec<&DatabaseSettings> {
        // A provider that is a process of its own keeps its own ledger.
        let ledger = (!self.provider.is_remote()).then_some(&self.provider.database);
        std::iter::once(&self.database).chain(ledger).collect()
    }

    async fn migrate(section: &str, db: &Db) -> anyhow::Result<Vec<String>> {
        let ledger = section == "provider.database";
        Ok(if ledger { payment::migrate_provider(db).await? } else { payment::migrate(db).await? })
    }

    async fn serve(self, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
        payment::serve(self, host, shutdown).await
    }
}

impl Service for gateway::Config {
    const DATABASES: &'static [(&'static str, &'static str)] = &[];
    const PEERS: &'static [&'static str] = &["catalog", "booking", "payment"];

    fn process(&self) -> &Process {
        &self.process
    }

    fn databases(&self) -> Vec<&DatabaseSettings> {
        Vec::new()
    }

    async fn migrate(_: &str, _: &Db) -> anyhow::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn drain(&self) -> Duration {
        self.patience() + DRAIN_SLACK
    }

    async fn serve(self, host: Host, shutdown: Shutdown) -> anyhow::Result<()> {
        // Tokens on demand and an open schema are for the embedded run alone.
        gateway::serve(self, host, None, shutdown).await
    }
}

/// A service's settings so far: its databases are files of this folder.
pub fn in_folder<S: Service>(folder: &Folder) -> Loader {
    S::DATABASES.iter().fold(Loader::new::<S>(), |loader, (section, file)| {
        loader.place(&format!("{section}.url"), folder.database_url(file))
    })
}

/// Adds what the world outside says: a file, then the environment.
pub fn from_outside(loader: Loader, file: Option<&Path>) -> Loader {
    loader.file(file).environment(std::env::vars_os())
}

/// Whether one of the service's databases is a file of this folder.
pub fn lives_in<S: Service>(service: &S, folder: &Folder) -> bool {
    let urls = service.databases().into_iter().map(|database| &database.url);
    urls.zip(S::DATABASES).any(|(url, (_, file))| url.expose() == folder.database_url(file))
}

/// How a process knows others and is known, and what keeps that up to date. Without an issuer of its own it trusts the
/// development one.
///
/// # Errors
/// The issuer cannot be used.
pub fn identity(process: &Process) -> anyhow::Result<(Identity, Option<Keeper>)> {
    if process.auth.is_set() {
        return oidc::identity(&process.auth).map(|(identity, keeper)| (identity, Some(keeper)));
    }
    Ok((DevIssuer::new(Arc::new(SystemClock))?.identity()?, None))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn leaves(prefix: &str, value: &Value, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(table) => {
                for (name, value) in table {
                    leaves(&format!("{prefix}__{}", name.to_uppercase()), value, into);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                into.insert(prefix.trim_start_matches('_').to_owned());
            }
        }
    }

    fn settings<S: Service>() -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        leaves("", &serde_json::to_value(S::default()).unwrap(), &mut all);
        all
    }

    #[test]
    fn the_readme_names_every_setting() {
        let readme = include_str!("../README.md");
        let section = readme.split("## Configuration").nth(1).unwrap().split("\n## ").next().unwrap();
        let mut all = settings::<catalog::Config>();
        all.extend(settings::<booking::Config>());
        all.extend(settings::<payment::Config>());
        all.extend(settings::<gateway::Config>());

        let nested =
            |name: &String| name.starts_with("PROVIDER__DATABASE__") && section.contains("`PROVIDER__DATABASE__*`");
        let missing: Vec<_> =
            all.iter().filter(|name| !nested(name) && !section.contains(&format!("`{name}`"))).collect();

        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_gateway_may_drain_for_as_long_as_it_says() {
        let (drain_delay, drain) = (Some(Duration::from_secs(30)), Duration::from_secs(20));
        let gateway = gateway::Config { drain_delay, drain, ..gateway::Config::default() };

        assert!(gateway.drain() > Duration::from_secs(50));
    }

    #[test]
    fn a_provider_elsewhere_keeps_its_own_ledger() {
        let mut payment = payment::Config::default();
        assert_eq!(payment.databases().len(), 2);

        payment.provider.url = "http://127.0.0.1:1".into();

        assert_eq!(payment.databases().len(), 1);
    }
}
