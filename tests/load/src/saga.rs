//! Bookings at a steady rate, whatever the answers take: from the hold's call to CONFIRMED, as a customer sees it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::book::{self, Sale};
use crate::report::Report;
use crate::shop::Shop;

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
        let outcome = book::confirmed(&shop, &held, PATIENCE).await;
        report.note("confirmed", began.elapsed(), outcome);
    }
    report
}
