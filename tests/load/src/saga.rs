//! Bookings at a steady rate, whatever the answers take: from the hold's call to CONFIRMED, as a customer sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::future::join_all;

use crate::book::{self, Sale};
use crate::report::Report;
use crate::shop::Shop;

/// How often a booking is looked at: what the saga's figures may be too high by.
const LOOK: Duration = Duration::from_millis(5);
/// Longest wait for one booking.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures and prints.
pub async fn run(gateway: SocketAddr, rate: u32, over: Duration) -> anyhow::Result<()> {
    let shop = Shop::at(gateway)?;
    let count = u64::from(rate) * over.as_secs();
    let sale = Arc::new(Sale::open(&shop, usize::try_from(count)?).await?);

    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
    let mut bookings = Vec::new();
    let began = Instant::now();
    for _ in 0..count {
        ticks.tick().await;
        bookings.push(tokio::spawn(booking(shop.clone(), sale.clone())));
    }
    let offered = began.elapsed();
    let mut report = Report::default();
    for seen in join_all(bookings).await {
        report.merge(seen?);
    }
    report.print(offered)
}

async fn booking(shop: Shop, sale: Arc<Sale>) -> Report {
    let mut report = Report::default();
    let began = Instant::now();
    let Some(held) = report.time("hold", sale.hold(&shop)).await else { return report };
    if report.time("pay", book::pay(&shop, &held)).await.is_some() {
        let outcome = confirmed(&shop, &held, began + PATIENCE).await;
        report.note("confirmed", began.elapsed(), outcome);
    }
    report
}

async fn confirmed(shop: &Shop, held: &book::Held, until: Instant) -> anyhow::Result<()> {
    loop {
        let state = book::state(shop, held).await?;
        if state == "CONFIRMED" {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("still {state} after {PATIENCE:?}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
