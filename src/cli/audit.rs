//! `eventix audit`: checks what must always be true, beside a running product.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use common::db::Db;

use super::{BadSettings, FAILED};
use crate::audit::{self, Databases, Service};
use crate::folder::Folder;

/// What to check, and how to say it.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the databases of catalog, booking, payment and the simulated provider, and changes nothing. Run it beside the
product: work that a stopped one left undone for minutes counts as a fault.
Exits with 0 when everything holds, with 1 when something does not, with 2 when the databases cannot be read.")]
pub(super) struct AuditArgs {
    /// Data folder
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Print JSON for machines, with every offending row
    #[arg(long)]
    json: bool,
    /// How long rows that look wrong are read again before they are reported, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = audit::PATIENCE.as_secs(), value_parser = clap::value_parser!(u64).range(0..=3600))]
    patience: u64,
}

pub(super) async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let databases = open(&args).await.map_err(BadSettings)?;
    let audited = audit::audit(&databases, Duration::from_secs(args.patience)).await;
    let report = audited.map_err(|error| BadSettings(error.into()))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

async fn open(args: &AuditArgs) -> anyhow::Result<Databases> {
    let folder = Folder::existing(&args.data)?;
    Ok(Databases {
        catalog: database(&folder, Service::Catalog).await?,
        booking: database(&folder, Service::Booking).await?,
        payment: database(&folder, Service::Payment).await?,
        provider: database(&folder, Service::Provider).await?,
    })
}

async fn database(folder: &Folder, service: Service) -> anyhow::Result<Db> {
    let name = service.name();
    let there = folder.file(&format!("{name}.db")).is_file();
    ensure!(there, "there is no database of {name} in data folder {}", folder.display());
    let opened = Db::connect(&folder.read_only_database_url(name), 1).await;
    opened.with_context(|| format!("cannot read the database of {name} in data folder {}", folder.display()))
}
