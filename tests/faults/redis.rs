//! Redis killed, frozen and emptied while people read and book: nothing becomes wrong, only slower.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Shop;
use crate::crowd::Crowd;
use crate::harness::mesh::{Databases, Node, Plan, Service};
use crate::harness::redis::Redis;
use crate::lane::{Lane, impatient};
use crate::report;

/// How long Redis is of no use.
const USELESS: Duration = Duration::from_secs(3);
/// Between two readers.
const BREATH: Duration = Duration::from_millis(50);

/// Reads an event again and again for a while, and each time other pages, which no process has kept; every answer must be
/// there and right.
async fn read(shop: &Shop, event: &str, for_long: Duration) {
    let until = Instant::now() + for_long;
    let mut pages = (1..=100).cycle();
    while Instant::now() < until {
        let page = json!({"first": pages.next()});
        let found =
            shop.data(None, "query($first: Int!) { events(first: $first) { edges { node { id } } } }", page).await;
        assert_eq!(found["events"]["edges"], json!([{"node": {"id": event}}]));
        let data = shop.data(None, "query($id: ID!) { event(id: $id) { title status } }", json!({"id": event})).await;
        assert_eq!(data["event"], json!({"title": "Fault", "status": "PUBLISHED"}));
        tokio::time::sleep(BREATH).await;
    }
}

/// How many questions to Redis the gateway did without an answer.
async fn in_vain(gateway: &Node) -> f64 {
    let mut count = 0.0;
    for outcome in ["failed", "left_out"] {
        count += gateway.metric("eventix_redis_commands_total", outcome).await.unwrap_or_default();
    }
    count
}

#[tokio::test]
async fn redis_killed_frozen_and_emptied_makes_nothing_wrong() {
    let mut redis = Redis::start().await;
    let plan = impatient(Plan::on(Databases::postgres().await)).with("EVENTIX_GATEWAY__REDIS__URL", redis.url());
    let mut lane = Lane::open(plan).await;
    let Lane { mesh, shop, event, .. } = &mut lane;
    let (gateway, shop, event) = (&*mesh.node(Service::Gateway), &*shop, &*event);
    read(shop, &event.id, BREATH).await;
    assert!(redis.keys().await > 0, "the gateway keeps nothing in Redis");

    let killed = Crowd::during(shop, event, "redis-killed", async {
        redis.kill().await;
        let before = in_vain(gateway).await;
        read(shop, &event.id, USELESS).await;
        redis.resume().await;
        in_vain(gateway).await - before
    })
    .await;
    assert!(killed.fault > 0.0, "the gateway did not miss Redis");
    report("Redis killed for 3s", killed.bookings, killed.converged);

    let frozen = Crowd::during(shop, event, "redis-frozen", async {
        let process = redis.process.as_ref().unwrap();
        process.freeze().await;
        let before = in_vain(gateway).await;
        read(shop, &event.id, USELESS).await;
        process.thaw();
        in_vain(gateway).await - before
    })
    .await;
    assert!(frozen.fault > 0.0, "the gateway did not miss Redis");
    report("Redis frozen for 3s", frozen.bookings, frozen.converged);

    let emptied = Crowd::during(shop, event, "redis-emptied", async {
        redis.mark().await;
        redis.flush().await;
        let is_marked = redis.is_marked().await;
        read(shop, &event.id, USELESS).await;
        (is_marked, redis.keys().await)
    })
    .await;
    let (is_marked, keys) = emptied.fault;
    assert!(!is_marked, "Redis was not emptied");
    assert!(keys > 0, "Redis was not filled again");
    lane.assert_clean("Redis killed, frozen, emptied").await;
    report("Redis emptied", emptied.bookings, emptied.converged);
}
