//! PostgreSQL restarted in immediate mode under load, and answers to COMMIT that never arrive.

use common::auth::Role;
use serde_json::json;

use crate::client::Shop;
use crate::crowd::Crowd;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::harness::postgres::Postgres;
use crate::harness::proxy::Proxy;
use crate::lane::{Lane, impatient};
use crate::{report, stage};

/// How long customers book before and after the restart.
const UNHURT: std::time::Duration = std::time::Duration::from_secs(2);

#[tokio::test]
async fn postgresql_restarted_in_immediate_mode_under_load_loses_and_doubles_nothing() {
    let mut postgres = Postgres::start().await;
    let databases = Databases::postgres_on(&postgres.url()).await;
    let mut lane = Lane::open(impatient(Plan::on(databases))).await;
    let pids: Vec<u32> = Service::ALL.iter().map(|service| lane.mesh.node(*service).process().pid()).collect();

    let outcome = Crowd::during(&lane.shop, &lane.event, "restart", async {
        tokio::time::sleep(UNHURT).await;
        postgres.stop_immediately().await;
        postgres.resume().await;
        tokio::time::sleep(UNHURT).await;
    })
    .await;

    assert!(postgres.log().contains("database system was not properly shut down"), "{}", postgres.log());
    let same: Vec<u32> = Service::ALL.iter().map(|service| lane.mesh.node(*service).process().pid()).collect();
    assert_eq!(pids, same, "no service gave up");
    lane.assert_clean("PostgreSQL restarted").await;
    report("PostgreSQL restarted in immediate mode", outcome.bookings, outcome.converged);
}

#[tokio::test]
async fn a_call_whose_commit_was_never_answered_gives_the_same_booking_when_tried_again() {
    let databases = Databases::postgres().await;
    let url = &databases.of(Service::Booking).url;
    let proxy = Proxy::to(address_in(url)).await;
    let proxied = url.replace(&address_in(url).to_string(), &proxy.addr.to_string());
    let lane = Lane::open(impatient(Plan::on(databases)).with("EVENTIX_BOOKING__DATABASE__URL", proxied)).await;
    let (shop, event) = (&lane.shop, &lane.event);
    let began = std::time::Instant::now();

    // Booking's statements name the caller, so that it is this transaction and no other.
    proxy.cut_answer_to_commit_after("cut-customer");
    let seat = event.seat();
    let booking = stage::hold(shop, event, "cut-customer", &seat).await;
    assert_eq!(proxy.answers_caught(), 1, "the answer to the hold's COMMIT was not cut");
    assert_eq!(stage::hold(shop, event, "cut-customer", &seat).await, booking);

    proxy.cut_answer_to_commit_after("cut-customer");
    stage::pay(shop, "cut-customer", &booking, "tok_approve").await;
    assert_eq!(proxy.answers_caught(), 2, "the answer to the payment's COMMIT was not cut");

    shop.until("cut-customer", &booking, "CONFIRMED").await;
    shop.until_payment("cut-customer", &booking, "CAPTURED").await;
    assert_eq!(bookings_of(shop, "cut-customer").await, 1);
    lane.assert_clean("answers to COMMIT cut").await;
    report("answers to COMMIT of hold and pay cut", 1, began.elapsed());
}

async fn bookings_of(shop: &Shop, user: &str) -> usize {
    let query = "{ myBookings(first: 10) { edges { node { id } } } }";
    let data = shop.data(Some((user, Role::Customer)), query, json!({})).await;
    data["myBookings"]["edges"].as_array().unwrap().len()
}

/// Host and port in `postgres://user@host:port/database`.
fn address_in(url: &str) -> std::net::SocketAddr {
    let (_, rest) = url.split_once('@').expect("a user in the address of the test run's PostgreSQL");
    let (address, _) = rest.split_once('/').expect("a database in it");
    address.parse().unwrap_or_else(|_| panic!("{address} is no address with a port"))
}
