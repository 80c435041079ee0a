//! A backlog of facts: made while nobody takes them in, then timed while they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::db::Db;
use futures_util::future::join_all;

use crate::book::{self, Sale};
use crate::report::Report;
use crate::shop::Shop;

/// Users who make facts at once.
const USERS: u32 = 32;
/// Facts of a hold that is let go: BookingHeld and BookingReleased.
const FACTS_PER_HOLD: u32 = 2;
/// How often the consumer's database is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Makes at least so many facts of booking.
pub async fn fill(gateway: SocketAddr, facts: u32) -> anyhow::Result<()> {
    let shop = Shop::at(gateway)?;
    let each = facts.div_ceil(FACTS_PER_HOLD * USERS);
    let sale = Arc::new(Sale::open(&shop, usize::try_from(each * USERS)?).await?);
    let began = Instant::now();
    let users = (0..USERS).map(|_| tokio::spawn(user(shop.clone(), sale.clone(), each)));
    let mut report = Report::default();
    for seen in join_all(users).await {
        report.merge(seen?);
    }
    report.print(began.elapsed())
}

async fn user(shop: Shop, sale: Arc<Sale>, holds: u32) -> Report {
    let mut report = Report::default();
    for _ in 0..holds {
        if let Some(held) = report.time("hold", sale.hold(&shop)).await {
            report.time("release", book::release(&shop, &held)).await;
        }
    }
    report
}

/// Times how long the consumer takes from its first fact to its last.
pub async fn drain(producer: &str, consumer: &str, patience: Duration) -> anyhow::Result<()> {
    let told = count(&open(producer).await?, "SELECT CAST(count(*) AS bigint) AS n FROM outbox").await?;
    let consumer = open(consumer).await?;
    let taken = async || count(&consumer, "SELECT CAST(count(*) AS bigint) AS n FROM inbox").await;

    let before = taken().await?;
    ensure!(before < told, "nothing to drain: {told} facts were told and {before} taken in");
    let until = Instant::now() + patience;
    let mut began = None;
    loop {
        let now = taken().await?;
        if now > before {
            began.get_or_insert_with(Instant::now);
        }
        if now >= told {
            break;
        }
        ensure!(
            Instant::now() < until,
            "{} of {} facts were taken in within {patience:?}",
            now - before,
            told - before
        );
        tokio::time::sleep(LOOK).await;
    }
    let took = began.context("facts were taken in")?.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = (told - before) as f64 / took.as_secs_f64().max(LOOK.as_secs_f64());
    println!("{} facts drained in {:.1} s: {rate:.0} a second", told - before, took.as_secs_f64());
    Ok(())
}

async fn open(url: &str) -> anyhow::Result<Db> {
    Db::connect(url, 1).await.context("cannot open a database")
}

async fn count(db: &Db, sql: &str) -> anyhow::Result<i64> {
    let rows = db.query(db.reader(), sql, []).await?;
    Ok(rows.first().context("a count has a row")?.try_get("", "n")?)
}
