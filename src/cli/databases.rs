//! Where commands find the databases: the same settings as the services', and a data folder for what they do not place.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use common::db::Db;
use common::settings::DatabaseSettings;

use crate::folder::Folder;
use crate::services::{self, Service};

/// Most connections of a command to one database.
const CONNECTIONS: u32 = 2;

/// Where the databases are.
#[derive(Debug, Args)]
pub(super) struct DatabasesArgs {
    /// Data folder: holds the databases that no setting places elsewhere
    #[arg(long, value_name = "DIR", default_value = "./data", global = true)]
    data: PathBuf,
    /// TOML file with the settings of a service, for instance booking=booking.toml; repeat it for others
    #[arg(long, value_name = "SERVICE=FILE", value_parser = assignment, global = true)]
    config: Vec<(String, PathBuf)>,
}

/// How a command uses a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// To look.
    Read,
    /// To decide about rows.
    Write,
}

fn assignment(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((service @ ("catalog" | "booking" | "payment"), file)) => Ok((service.to_owned(), file.into())),
        _ => Err("expected SERVICE=FILE, where SERVICE is catalog, booking or payment".to_owned()),
    }
}

impl DatabasesArgs {
    /// The settings of a service, as far as its databases are concerned.
    pub(super) fn settings<S: Service>(&self) -> anyhow::Result<S> {
        let folder = Folder::planned(&self.data)?;
        let file = self.config.iter().rfind(|(service, _)| service == S::SERVICE).map(|(_, file)| file.as_path());
        let sections = S::DATABASES.iter().map(|(section, _)| *section);
        let loader = services::from_outside(services::in_folder::<S>(&folder), file).concerning(sections);
        Ok(loader.load::<S>()?)
    }

    /// The folder, made if one of the service's databases is to be in it.
    pub(super) fn make_folder<S: Service>(&self, service: &S) -> anyhow::Result<()> {
        if services::lives_in(service, &Folder::planned(&self.data)?) {
            Folder::make(&self.data)?;
        }
        Ok(())
    }

    /// The data folder in the user's words.
    pub(super) fn folder(&self) -> std::path::Display<'_> {
        self.data.display()
    }

    /// Whether a database is a file of the data folder that is not there.
    pub(super) fn is_absent(&self, settings: &DatabaseSettings, name: &str) -> anyhow::Result<bool> {
        let folder = Folder::planned(&self.data)?;
        Ok(settings.url.expose() == folder.database_url(name) && !folder.file(&format!("{name}.db")).is_file())
    }

    /// Opens a database that must be there.
    ///
    /// # Errors
    /// It is not, or cannot be used.
    pub(super) async fn open(&self, settings: &DatabaseSettings, name: &str, usage: Use) -> anyhow::Result<Db> {
        let absent = self.is_absent(settings, name)?;
        ensure!(!absent, "there is no database of {name} in data folder {}", self.folder());
        let url = settings.url.as_it_is(usage == Use::Read);
        let settings = DatabaseSettings { url, connections: CONNECTIONS, ..settings.clone() };
        let opened = Db::open(&settings).await;
        opened.with_context(|| format!("cannot use the database of {name} at {}", settings.url))
    }
}
