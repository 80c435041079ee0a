//! `eventix audit`: checks what must always be true, beside a running product.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use common::settings::DatabaseSettings;

use super::databases::{DatabasesArgs, Use};
use super::{BadSettings, FAILED};
use crate::audit::{self, Databases, Service};

/// What to check, and how to say it.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads the databases of catalog, booking, payment and the simulated provider, and changes nothing: those that settings
(EVENTIX_<SERVICE>__DATABASE__URL, --config) name, else the files of the data folder. Run it beside the
product: work that a stopped one left undone for minutes counts as a fault.
Exits with 0 when everything holds, with 1 when something does not, with 2 when the databases cannot be read.")]
pub(super) struct AuditArgs {
    #[command(flatten)]
    databases: DatabasesArgs,
    /// Ledger of a provider process, sqlite:… or postgres:… [default: that of the simulated provider, as settings say]
    #[arg(long, value_name = "URL")]
    provider_database: Option<String>,
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
    let from = &args.databases;
    let catalog = from.settings::<catalog::Config>()?.database;
    let booking = from.settings::<booking::Config>()?.database;
    let payment = from.settings::<payment::Config>()?;
    let elsewhere = args.provider_database.as_deref().map(DatabaseSettings::at);
    let ledger = elsewhere.as_ref().unwrap_or(&payment.provider.database);
    // Where the provider is elsewhere, its ledger is compared if somebody says where it is.
    let kept = !payment.provider.is_remote() || !from.is_absent(ledger, Service::Provider.name())?;
    Ok(Databases {
        catalog: from.open(&catalog, Service::Catalog.name(), Use::Read).await?,
        booking: from.open(&booking, Service::Booking.name(), Use::Read).await?,
        payment: from.open(&payment.database, Service::Payment.name(), Use::Read).await?,
        provider: if kept { Some(from.open(ledger, Service::Provider.name(), Use::Read).await?) } else { None },
    })
}
