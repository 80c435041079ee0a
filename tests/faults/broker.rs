//! The broker killed, frozen, and started anew without anything it knew, while customers go on booking.

use std::time::Duration;

use futures_util::future::join_all;

use crate::crowd::Crowd;
use crate::everything;
use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::lane::{Lane, impatient};
use crate::report;

/// Longer than any call to it may take.
const FROZEN: Duration = Duration::from_secs(12);
/// Longest time until a reader has met a new log.
const NOTICED: Duration = Duration::from_secs(60);
/// Longest time until every fact of the crowd was asked for again: thousands, in a debug build.
const ASKED: Duration = Duration::from_secs(300);
const UNPUBLISHED: &str = "SELECT CAST(count(*) AS bigint) AS n FROM outbox WHERE published_at IS NULL";
const INCARNATIONS: &str = "SELECT CAST(sum(incarnation) AS bigint) AS n FROM consumer_offsets";
const ASKING: &str = "SELECT CAST(count(*) AS bigint) AS n FROM consumer_offsets WHERE recovering = TRUE";

fn killed_for() -> Duration {
    Duration::from_secs(if everything() { 120 } else { 12 })
}

#[tokio::test]
async fn a_broker_killed_frozen_and_wiped_costs_nothing_but_time() {
    let mut lane = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;

    let killed = format!("broker killed for {:?}", killed_for());
    let Lane { mesh, shop, event, .. } = &mut lane;
    let outcome = Crowd::during(shop, event, "killed", async {
        mesh.broker.kill().await;
        tokio::time::sleep(killed_for()).await;
        let waiting = mesh.databases.count(Service::Booking, UNPUBLISHED).await;
        mesh.broker.resume().await;
        waiting
    })
    .await;
    assert!(outcome.fault > 0, "no fact waited for the broker");
    lane.assert_clean(&killed).await;
    report(&killed, outcome.bookings, outcome.converged);

    let Lane { mesh, shop, event, .. } = &mut lane;
    let outcome = Crowd::during(shop, event, "frozen", async {
        let broker = mesh.broker.process.as_ref().unwrap();
        broker.freeze().await;
        tokio::time::sleep(FROZEN).await;
        let waiting = mesh.databases.count(Service::Booking, UNPUBLISHED).await;
        broker.thaw();
        waiting
    })
    .await;
    assert!(outcome.fault > 0, "no fact waited for the broker");
    lane.assert_clean("broker frozen").await;
    report(&format!("broker frozen for {FROZEN:?}"), outcome.bookings, outcome.converged);

    let Lane { mesh, shop, event, .. } = &mut lane;
    let before = mesh.databases.count(Service::Booking, INCARNATIONS).await;
    let outcome = Crowd::during(shop, event, "wiped", async {
        mesh.broker.kill().await;
        mesh.broker.lose_data();
        mesh.broker.resume().await;
    })
    .await;
    // Bookings may end by asking, before the last reader has met the new log.
    eventually("a reader notices that the log is another", NOTICED, async || {
        (mesh.databases.count(Service::Booking, INCARNATIONS).await > before).then_some(())
    })
    .await;
    eventually("every producer was asked for everything", ASKED, async || {
        let asking = [Service::Booking, Service::Payment].map(|service| mesh.databases.count(service, ASKING));
        (join_all(asking).await.iter().sum::<i64>() == 0).then_some(())
    })
    .await;
    lane.assert_clean("broker wiped").await;
    report("broker restarted without its data", outcome.bookings, outcome.converged);
}
