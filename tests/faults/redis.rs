//! Redis killed, frozen and emptied while people read and book: nothing becomes wrong, only slower.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Shop;
use crate::crowd::Crowd;
use crate::harness::mesh::{Databases, Plan};
use crate::harness::redis::Redis;
use crate::lane::{Lane, impatient};
use crate::report;

/// How long Redis is of no use.
const USELESS: Duration = Duration::from_secs(3);
/// Between two readers.
const BREATH: Duration = Duration::from_millis(50);

/// Reads an event again and again for a while; every answer must be there and right. Returns how many there were.
async fn read(shop: &Shop, event: &str, for_long: Duration) -> usize {
    let until = Instant::now() + for_long;
    let mut readers = 0;
    while Instant::now() < until {
        let data = shop.data(None, "query($id: ID!) { event(id: $id) { title status } }", json!({"id": event})).await;
        assert_eq!(data["event"], json!({"title": "Fault", "status": "PUBLISHED"}));
        readers += 1;
        tokio::time::sleep(BREATH).await;
    }
    readers
}

#[tokio::test]
async fn redis_killed_frozen_and_emptied_makes_nothing_wrong() {
    let mut redis = Redis::start().await;
    let plan = impatient(Plan::on(Databases::postgres().await)).with("EVENTIX_GATEWAY__REDIS__URL", redis.url());
    let lane = Lane::open(plan).await;
    let (shop, event) = (&lane.shop, &lane.event);
    read(shop, &event.id, BREATH).await;
    assert!(redis.keys().await > 0, "the gateway keeps nothing in Redis");

    let killed = Crowd::during(shop, event, "redis-killed", async {
        redis.kill().await;
        let readers = read(shop, &event.id, USELESS).await;
        redis.resume().await;
        readers
    })
    .await;
    assert!(killed.fault > 0);
    report("Redis killed for 3s", killed.bookings, killed.converged);

    let frozen = Crowd::during(shop, event, "redis-frozen", async {
        let process = redis.process.as_ref().unwrap();
        process.freeze().await;
        let readers = read(shop, &event.id, USELESS).await;
        process.thaw();
        readers
    })
    .await;
    assert!(frozen.fault > 0);
    report("Redis frozen for 3s", frozen.bookings, frozen.converged);

    let emptied = Crowd::during(shop, event, "redis-emptied", async {
        redis.flush().await;
        read(shop, &event.id, USELESS).await
    })
    .await;
    assert!(emptied.fault > 0);
    lane.assert_clean("Redis killed, frozen, emptied").await;
    report("Redis emptied", emptied.bookings, emptied.converged);
}
