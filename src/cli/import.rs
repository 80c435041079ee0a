//! `eventix import seating-plan`: streams a plan to catalog, all or nothing, with the event it is wanted for.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use common::clock::to_wire;
use common::proto::catalog::v1::import_seating_plan_request::Part;
use common::proto::catalog::v1::price::Target;
use common::proto::catalog::v1::{
    ImportSeatingPlanHeader, ImportSeatingPlanRequest, ImportSeatingPlanResponse, NewArea, NewEvent, Price, Venue,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::catalog_client::{connect, in_words};
use crate::folder::Folder;

/// Time for the whole import, also of the largest plan in a debug build: the most that services grant.
const PATIENCE: Duration = Duration::from_secs(120);
/// Bytes of the largest file read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of one message.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long an event lasts, for the listing; nothing depends on it.
const EVENT_LENGTH: TimeDelta = TimeDelta::hours(3);

/// The plan, its venue and perhaps an event.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  eventix import seating-plan stadium.json --data ./data --venue 'City Stadium' --city Kharkiv --country UA \\
    --time-zone Europe/Kyiv --area 'Fan zone=500' --event 'Cup final' --starts-at 2027-05-20T18:00:00Z \\
    --price 'Tribune West=45000' --price 'Fan zone=20000' --currency UAH

Nothing is stored when the plan is refused, not even the venue. Prints the ids of what was stored.")]
pub(super) struct ImportArgs {
    /// The plan: open seating-plan JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Data folder of the running product
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// Name of the venue; found, or made with the next three
    #[arg(long, value_name = "NAME")]
    venue: String,
    /// City of a new venue
    #[arg(long, default_value = "")]
    city: String,
    /// ISO 3166-1 alpha-2 code of a new venue's country, for instance DE
    #[arg(long, default_value = "")]
    country: String,
    /// IANA time zone of a new venue
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
    /// Category whose seats are accessible; may be repeated
    #[arg(long, value_name = "CATEGORY")]
    accessible: Vec<String>,
    /// General-admission area to add; may be repeated
    #[arg(long, value_name = "NAME=CAPACITY", value_parser = area)]
    area: Vec<NewArea>,
    /// Title of an event to put on sale at once
    #[arg(long, value_name = "TITLE", requires_all = ["starts_at", "price", "currency"])]
    event: Option<String>,
    /// Start of the event, RFC 3339, for instance 2027-05-20T19:30:00+02:00
    #[arg(long, value_name = "T", requires = "event")]
    starts_at: Option<DateTime<Utc>>,
    /// Price of a category or area in minor units (cents); one for each; may be repeated
    #[arg(long, value_name = "CATEGORY=AMOUNT_MINOR", requires = "event", value_parser = price)]
    price: Vec<NamedPrice>,
    /// ISO 4217 code of the prices
    #[arg(long, value_name = "CUR", requires = "event")]
    currency: Option<String>,
}

#[derive(Debug, Clone)]
struct NamedPrice {
    name: String,
    amount_minor: i64,
}

/// Splits at the last `=`: a name may hold one, a number never does.
fn named<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| format!("write it as {form}"))
}

fn area(text: &str) -> Result<NewArea, String> {
    let (name, capacity) = named(text, "NAME=CAPACITY")?;
    let capacity = capacity.parse().map_err(|_| format!("capacity {capacity:?} is not a number of places"))?;
    Ok(NewArea { name: name.to_owned(), capacity })
}

fn price(text: &str) -> Result<NamedPrice, String> {
    let (name, amount) = named(text, "CATEGORY=AMOUNT_MINOR")?;
    let amount_minor = amount.parse().map_err(|_| format!("amount {amount:?} is not a whole number of minor units"))?;
    Ok(NamedPrice { name: name.to_owned(), amount_minor })
}

pub(super) async fn run(args: ImportArgs) -> anyhow::Result<()> {
    let run = Folder::existing(&args.data)?.running()?;
    let plan = read(&args.file)?;
    let bar = progress(plan.len());
    let (mut catalog, caller) = connect(run.grpc.catalog, PATIENCE)?;

    let stream = messages(header(&args), plan, bar.clone());
    let answer = catalog.import_seating_plan(caller.request(stream)).await;
    bar.finish_and_clear();
    let stored =
        answer.map_err(|status| in_words(&status).context(format!("cannot import {}", args.file.display())))?;
    print(&stored.into_inner());
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Bytes> {
    let open = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = open().with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "{} is larger than {FILE_BYTES_MAX} bytes", path.display());
    Ok(bytes.into())
}

fn progress(bytes: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg}").expect("the template is a constant");
    ProgressBar::new(bytes as u64).with_style(style)
}

fn messages(
    header: ImportSeatingPlanHeader,
    plan: Bytes,
    bar: ProgressBar,
) -> impl tokio_stream::Stream<Item = ImportSeatingPlanRequest> + Send + 'static {
    let count = plan.len().div_ceil(CHUNK_BYTES);
    let chunks = (0..count).map(move |n| {
        let chunk = plan.slice(n * CHUNK_BYTES..plan.len().min((n + 1) * CHUNK_BYTES));
        bar.inc(chunk.len() as u64);
        if n + 1 == count {
            bar.set_message("storing");
        }
        Part::Chunk(chunk)
    });
    let parts = std::iter::once(Part::Header(header)).chain(chunks);
    tokio_stream::iter(parts.map(|part| ImportSeatingPlanRequest { part: Some(part) }))
}

fn header(args: &ImportArgs) -> ImportSeatingPlanHeader {
    let venue = Venue {
        name: args.venue.clone(),
        city: args.city.clone(),
        country: args.country.clone(),
        time_zone: args.time_zone.clone(),
        ..Venue::default()
    };
    ImportSeatingPlanHeader {
        venue: Some(venue),
        accessible_categories: args.accessible.clone(),
        areas: args.area.clone(),
        event: event(args),
        ..ImportSeatingPlanHeader::default()
    }
}

fn event(args: &ImportArgs) -> Option<NewEvent> {
    let (title, starts_at) = (args.event.clone()?, args.starts_at?);
    let prices = args.price.iter().map(|price| Price {
        // An area has no id before the plan is stored: catalog takes the name of either here.
        target: Some(Target::Category(price.name.clone())),
        amount_minor: price.amount_minor,
    });
    Some(NewEvent {
        title,
        starts_at: Some(to_wire(starts_at)),
        ends_at: Some(to_wire(starts_at + EVENT_LENGTH)),
        currency: args.currency.clone().unwrap_or_default(),
        prices: prices.collect(),
        ..NewEvent::default()
    })
}

fn print(stored: &ImportSeatingPlanResponse) {
    if let Some(venue) = &stored.venue {
        println!("venue {}", venue.id);
    }
    if let Some(plan) = &stored.plan {
        println!("seating-plan {}", plan.id);
    }
    if let Some(event) = &stored.event {
        println!("event {}", event.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_an_equals_sign() {
        let price = price("Row a=b=1200").unwrap();

        assert_eq!((price.name.as_str(), price.amount_minor), ("Row a=b", 1200));
    }

    #[test]
    fn what_is_no_number_is_named() {
        assert_eq!(area("Pit=many").unwrap_err(), "capacity \"many\" is not a number of places");
        assert_eq!(area("Pit").unwrap_err(), "write it as NAME=CAPACITY");
    }
}
