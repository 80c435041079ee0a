//! A process whose clock is a quarter of an hour off: holds and leases follow the database's clock, which is right.

use std::time::Instant;

use chrono::{DateTime, Duration, Utc};

use crate::flows::Flow;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::lane::{Lane, hasty};
use crate::{everything, report, stage};

/// Names the library that bends a process's clock.
const FAKETIME: &str = "EVENTIX_TEST_FAKETIME";
/// Holds of this mesh, seconds.
const HOLD_SECONDS: i64 = 3;

fn skewed(plan: Plan, service: Service, by: &str) -> Plan {
    let library = std::env::var(FAKETIME)
        .unwrap_or_else(|_| panic!("{FAKETIME} must name libfaketime: run the tests through ./tests/run"));
    // Timers count on: only what time it is changes.
    plan.only(service, "LD_PRELOAD", library).only(service, "FAKETIME", by).only(
        service,
        "FAKETIME_DONT_FAKE_MONOTONIC",
        "1",
    )
}

#[tokio::test]
async fn a_process_whose_clock_is_off_neither_prolongs_nor_shortens_anything() {
    let cases = [
        (Service::Booking, "+15m"),
        (Service::Payment, "-15m"),
        (Service::Booking, "-15m"),
        (Service::Payment, "+15m"),
        (Service::Catalog, "+15m"),
        (Service::Gateway, "-15m"),
    ];
    let some = if everything() { cases.len() } else { 2 };
    for (service, by) in cases.into_iter().take(some) {
        let began = Instant::now();
        let plan = skewed(hasty(Plan::on(Databases::postgres().await)), service, by);
        let mut lane = Lane::open(plan).await;
        assert!(minutes_off(&lane.mesh.node(service).log()) >= 14, "{} has the right time", service.name());

        holds_last_as_long_as_ever(&lane).await;
        for flow in [Flow::Paid, Flow::Lapsed, Flow::TooLate] {
            lane.run(flow, &format!("{}{by}-{flow:?}", service.name())).await;
        }
        let changed = "SELECT CAST(coalesce(max(epoch), 0) AS bigint) AS n FROM leases";
        assert_eq!(lane.mesh.databases.count(Service::Booking, changed).await, 1, "leases changed hands");
        lane.assert_clean(&format!("{} {by}", service.name())).await;
        report(&format!("the clock of {} {by}", service.name()), 4, began.elapsed());
    }
}

/// By the test's own clock, which is the database's.
async fn holds_last_as_long_as_ever(lane: &Lane) {
    let before = Utc::now();
    let booking = stage::hold(&lane.shop, &lane.event, "clock", &lane.event.seat()).await;
    let expires_at = lane.shop.booking("clock", &booking).await["expiresAt"].as_str().unwrap().to_owned();
    let expires_at: DateTime<Utc> = expires_at.parse().unwrap();

    let hold = Duration::seconds(HOLD_SECONDS);
    assert!((before + hold..=Utc::now() + hold).contains(&expires_at), "held until {expires_at}, asked at {before}");
}

/// How far the clock of a process is off that has just said something, minutes either way.
fn minutes_off(log: &str) -> i64 {
    let mut times = log.lines().filter_map(|line| line.split_whitespace().next()?.parse::<DateTime<Utc>>().ok());
    let last = times.next_back().expect("a line with its time");
    (last - Utc::now()).num_minutes().abs()
}
