//! Users at once, each doing one thing after another as fast as it is answered: list, detail, hold two seats, pay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::book::{self, Sale};
use crate::report::Report;
use crate::shop::Shop;

/// Holds that one user can make in a second, at the very most.
const HOLDS_PER_SECOND_MAX: u64 = 1500;

/// Measures and prints.
pub async fn run(gateway: SocketAddr, users: u32, over: Duration) -> anyhow::Result<()> {
    let shop = Shop::at(gateway)?;
    let warm_up = over / 10;
    let pairs = HOLDS_PER_SECOND_MAX * (over + warm_up).as_secs().max(1);
    let sale = Arc::new(Sale::open(&shop, usize::try_from(pairs)?).await?);

    let warm = Instant::now() + warm_up;
    let until = warm + over;
    let users = (0..users).map(|_| tokio::spawn(user(shop.clone(), sale.clone(), warm, until)));
    let mut report = Report::default();
    for seen in join_all(users).await {
        report.merge(seen?);
    }
    report.print(over)
}

async fn user(shop: Shop, sale: Arc<Sale>, warm: Instant, until: Instant) -> Report {
    let mut report = Report::default();
    let mut warming = true;
    while Instant::now() < until {
        if warming && Instant::now() >= warm {
            (warming, report) = (false, Report::default());
        }
        report.time("event list", book::list(&shop)).await;
        report.time("event detail", book::detail(&shop, sale.event())).await;
        if let Some(held) = report.time("hold", sale.hold(&shop)).await {
            report.time("pay", book::pay(&shop, &held)).await;
        }
    }
    report
}
