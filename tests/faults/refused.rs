//! A refund that the provider refuses for good: what customer, gate, box office and accounts see of it, until a person has it
//! tried again.

use std::time::Instant;

use common::auth::Role;
use serde_json::{Value, json};

use crate::client::{SAGA, Shop};
use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::harness::provider::Provider;
use crate::lane::{Lane, impatient};
use crate::sales::{assert_recounted, settled};
use crate::{report, stage};

/// As often as payment asks by default before it leaves a refund to a person.
const REFUSALS: u32 = 8;

#[tokio::test]
async fn a_refund_refused_for_good_is_seen_by_all_and_healed_by_one() {
    let databases = Databases::postgres().await;
    let provider = Provider::start(&databases).await;
    let plan = impatient(Plan::on(databases)).with("EVENTIX_PAYMENT__REFUSALS_MAX", REFUSALS.to_string());
    let mut lane = Lane::open(provider.used_by(plan)).await;
    let booking = stage::hold(&lane.shop, &lane.event, "alice", &lane.event.seat()).await;
    stage::pay(&lane.shop, "alice", &booking, &format!("tok_refund_fails_{REFUSALS}")).await;
    let confirmed = lane.shop.until("alice", &booking, "CONFIRMED").await;
    lane.shop.until_payment("alice", &booking, "CAPTURED").await;
    let (ticket, price) = (&confirmed["tickets"][0]["token"], confirmed["total"]["amountMinor"].as_i64().unwrap());
    let ticket = ticket.as_str().unwrap();

    stage::cancel(&lane.shop, "alice", &booking).await;
    lane.shop.until_payment("alice", &booking, "STUCK").await;
    settled(&lane).await;

    let cancelled = lane.shop.booking("alice", &booking).await;
    assert_eq!((&cancelled["state"], &cancelled["tickets"][0]["void"]), (&json!("CANCELLED"), &json!(true)));
    let (let_in, refusals) = lane.shop.check_in(ticket, "North").await;
    assert_eq!((let_in, &refusals[0]["code"]), (Value::Null, &json!("INVALID_STATE")), "{refusals:?}");
    let seen = stuck(&lane.shop, &booking).await.expect("it is listed");
    let amount = json!({"amountMinor": price, "currency": "EUR"});
    let wanted = json!({"bookingId": booking, "step": "REFUND", "amount": amount, "reason": "REFUND_REFUSED",
        "tries": REFUSALS, "payment": {"state": "STUCK"}});
    assert_eq!(seen, wanted);
    let told = assert_recounted(&lane).await;
    assert_eq!([&told["sold"], &told["refundPendingMinor"]], [0, 0]);
    for name in ["grossMinor", "refundedMinor", "refundStuckMinor"] {
        assert_eq!(told[name], price, "{name}");
    }
    let payment = lane.mesh.node(Service::Payment);
    assert_eq!(payment.metric("eventix_payment_alarms_total", "stuck").await, Some(1.0));
    eventually("the gauge shows it", SAGA, async || {
        (payment.metric("eventix_payments_stuck", "refund").await == Some(1.0)).then_some(())
    })
    .await;
    lane.assert_clean("a stuck refund").await;

    let asked = Instant::now();
    stage::retry_refund(&lane.shop, &booking).await;
    lane.shop.until_payment("alice", &booking, "REFUNDED").await;
    settled(&lane).await;
    let converged = asked.elapsed();

    assert_eq!(lane.shop.booking("alice", &booking).await["state"], "CANCELLED");
    assert_eq!(stuck(&lane.shop, &booking).await, None);
    let told = assert_recounted(&lane).await;
    assert_eq!([&told["refundPendingMinor"], &told["refundStuckMinor"]], [0, 0]);
    assert_eq!((&told["grossMinor"], &told["refundedMinor"]), (&json!(price), &json!(price)));
    lane.assert_clean("a healed refund").await;
    report("a refund refused for good and tried again by a person", 1, converged);
}

/// What a box office sees of a booking whose money is stuck.
async fn stuck(shop: &Shop, booking: &str) -> Option<Value> {
    let query = "{ stuckPayments(first: 100) { edges { node {
        bookingId step amount { amountMinor currency } reason tries payment { state } } } } }";
    let data = shop.data(Some(("office", Role::Admin)), query, json!({})).await;
    let edges = data["stuckPayments"]["edges"].as_array().unwrap().clone();
    edges.into_iter().map(|mut edge| edge["node"].take()).find(|node| node["bookingId"] == booking)
}
