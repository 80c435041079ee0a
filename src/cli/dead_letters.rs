//! `eventix dead-letters`: facts that no retry helps. It works on the service's database, beside a running product,
//! whose consumer acts on what was decided here.

use anyhow::{Context, bail};
use chrono::SecondsFormat;
use clap::{Args, Subcommand, ValueEnum};
use common::clock::from_micros;
use common::db::Db;
use common::settings::DatabaseSettings;
use uuid::Uuid;

use super::BadSettings;
use super::databases::{DatabasesArgs, Use};

/// Most rows of one service shown at once, oldest first.
const ROWS_MAX: u32 = 200;

/// What to do with dead letters.
#[derive(Debug, Args)]
#[command(after_help = "\
A dead letter holds its bytes, headers, place in the log and the error. Later facts of the same booking or payment wait
behind it. `requeue` handles it again and lets them follow; `discard` leaves it out and lets them follow.")]
pub(super) struct DeadLettersArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    databases: DatabasesArgs,
    /// Only this service's
    #[arg(long, value_enum, global = true)]
    service: Option<Service>,
    /// Who decides, for the record
    #[arg(long, value_name = "NAME", env = "USER", default_value = "operator", hide_env_values = true, global = true)]
    by: String,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show them, with what was decided
    List,
    /// Handle one again
    Requeue {
        /// Its id, as `list` shows it
        id: Uuid,
    },
    /// Leave one out for good
    Discard {
        /// Its id, as `list` shows it
        id: Uuid,
    },
}

/// The services that take facts in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    Booking,
    Payment,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Booking => "booking",
            Self::Payment => "payment",
        }
    }

    fn database(self, databases: &DatabasesArgs) -> anyhow::Result<DatabaseSettings> {
        Ok(match self {
            Self::Booking => databases.settings::<booking::Config>()?.database,
            Self::Payment => databases.settings::<payment::Config>()?.database,
        })
    }
}

pub(super) async fn run(args: DeadLettersArgs) -> anyhow::Result<()> {
    let mut found = Vec::new();
    for service in
        [Service::Booking, Service::Payment].into_iter().filter(|s| args.service.is_none_or(|only| only == *s))
    {
        let settings = service.database(&args.databases).map_err(BadSettings)?;
        if !args.databases.is_absent(&settings, service.name())? {
            found.push((service, args.databases.open(&settings, service.name(), Use::Write).await?));
        }
    }
    if found.is_empty() {
        bail!("no database of booking or payment in data folder {}", args.databases.folder());
    }
    match args.action {
        Action::List => list(&found).await,
        Action::Requeue { id } => decide(&found, id, "requeued", &args.by).await,
        Action::Discard { id } => decide(&found, id, "discarded", &args.by).await,
    }
}

async fn list(databases: &[(Service, Db)]) -> anyhow::Result<()> {
    println!(
        "{:36}  {:7}  {:9}  {:8}  {:36}  {:>8}  {:20}  ERROR",
        "ID", "SERVICE", "STATUS", "PRODUCER", "AGGREGATE", "SEQUENCE", "SINCE"
    );
    for (service, db) in databases {
        for line in lines(*service, db).await.with_context(|| format!("reading dead letters of {}", service.name()))? {
            println!("{line}");
        }
    }
    Ok(())
}

async fn lines(service: Service, db: &Db) -> anyhow::Result<Vec<String>> {
    let sql = format!(
        "SELECT id, producer, aggregate_id, sequence, status, error, created_at FROM dead_letters
         ORDER BY created_at, id LIMIT {ROWS_MAX}"
    );
    let mut lines = Vec::new();
    for row in db.query(db.reader(), sql, []).await? {
        let id: Uuid = row.try_get("", "id")?;
        let aggregate: Option<Uuid> = row.try_get("", "aggregate_id")?;
        let sequence: Option<i64> = row.try_get("", "sequence")?;
        let status: String = row.try_get("", "status")?;
        let producer: String = row.try_get("", "producer")?;
        let error: String = row.try_get("", "error")?;
        let since = from_micros(row.try_get("", "created_at")?).to_rfc3339_opts(SecondsFormat::Secs, true);
        lines.push(format!(
            "{id:36}  {:7}  {status:9}  {producer:8}  {:36}  {:>8}  {since:20}  {}",
            service.name(),
            aggregate.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            sequence.map_or_else(|| "-".to_owned(), |n| n.to_string()),
            error.replace('\n', " "),
        ));
    }
    Ok(lines)
}

/// Writes a decision over an open letter; one already decided stays as it is.
async fn decide(databases: &[(Service, Db)], id: Uuid, status: &str, by: &str) -> anyhow::Result<()> {
    for (service, db) in databases {
        let sql = format!(
            "UPDATE dead_letters SET status = $1, decided_at = {}, decided_by = $2 WHERE id = $3 AND status = 'open'",
            db.now_sql()
        );
        if db.execute(db.writer(), sql, [status.into(), by.into(), id.into()]).await? == 1 {
            println!("{} {status} dead letter {id}", service.name());
            return Ok(());
        }
        let rows = db.query(db.reader(), "SELECT status FROM dead_letters WHERE id = $1", [id.into()]).await?;
        if let Some(row) = rows.first() {
            bail!("dead letter {id} is already {}", row.try_get::<String>("", "status")?);
        }
    }
    bail!("there is no dead letter {id}")
}
