//! Users at once, each doing one thing after another as fast as it is answered: list, detail, hold two seats, pay.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::book::{self, Held, Sale};
use crate::report::Report;
use crate::shop::Shop;

/// Holds that one user can make in a second, at the very most.
const HOLDS_PER_SECOND_MAX: u64 = 1500;
/// Longest wait for what was paid to be CONFIRMED, after the end.
const CATCH_UP: Duration = Duration::from_secs(300);

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
    let mut paid = Vec::new();
    for seen in join_all(users).await {
        let (seen, last) = seen?;
        report.merge(seen);
        paid.extend(last);
    }
    let outcome = report.print(over);
    let ended = Instant::now();
    for booking in &paid {
        book::confirmed(&shop, booking, CATCH_UP).await?;
    }
    println!("each user's last booking was CONFIRMED {:.1} s after the end", ended.elapsed().as_secs_f64());
    outcome
}

/// What a user saw, and the last booking paid for.
async fn user(shop: Shop, sale: Arc<Sale>, warm: Instant, until: Instant) -> (Report, Option<Held>) {
    let mut report = Report::default();
    let mut last = None;
    let mut warming = true;
    while Instant::now() < until {
        if warming && Instant::now() >= warm {
            (warming, report) = (false, Report::default());
        }
        report.time("event list", book::list(&shop)).await;
        report.time("event detail", book::detail(&shop, sale.event())).await;
        if let Some(held) = report.time("hold", sale.hold(&shop)).await
            && report.time("pay", book::pay(&shop, &held)).await.is_some()
        {
            last = Some(held);
        }
    }
    (report, last)
}
