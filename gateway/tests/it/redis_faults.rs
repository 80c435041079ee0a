//! Redis down, frozen, flushed or lying makes nothing wrong, only slower. In each test one gateway fills Redis, and
//! another one, which has nothing in process, reads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::clock::{Clock, ManualClock, SystemClock};
use common::ids::EventId;
use tokio::time::Instant;

use crate::redis_server::{Connection, RedisServer};
use crate::world::{World, event, eventually, id};

/// Longer than any test takes.
const STALENESS: Duration = Duration::from_secs(120);
/// Long enough for a healthy Redis beside a busy test run.
const UNHURRIED: Duration = Duration::from_secs(5);
/// The default, in tests of a Redis that does not answer.
const HURRIED: Duration = Duration::from_millis(50);
/// How much longer something may take because Redis is of no use, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1);

const OLD: [&str; 5] = ["Event 1", "Event 2", "Event 1", "Event 2", "Event 3"];
const NEW: [&str; 5] = ["New 1", "New 2", "New 1", "New 2", "New 3"];

/// Two gateways on one Redis, which the first has filled with what [`ask`] asks for.
struct Pair {
    redis: RedisServer,
    look: Connection,
    first: World,
    second: World,
    services: World,
}

impl Pair {
    async fn start() -> Self {
        Self::with(Arc::new(SystemClock), UNHURRIED).await
    }

    /// With another clock in the first gateway, and another patience with Redis in the second.
    async fn with(clock: Arc<dyn Clock>, timeout: Duration) -> Self {
        let redis = RedisServer::start().await;
        let look = redis.connect().await;
        let services = World::start().await;
        services.script.events.lock().unwrap().extend((1..=3).map(event));
        let first = gateway(&services, &redis, &look, clock, UNHURRIED).await;
        look.flush().await;
        let second = gateway(&services, &redis, &look, Arc::new(SystemClock), timeout).await;
        look.flush().await;
        assert_eq!(ask(&first).await, OLD);
        let pair = Self { redis, look, first, second, services };
        assert_eq!(pair.values().await.len(), 3, "two events and a page");
        pair
    }

    /// Another gateway on the same Redis, which is left as it is.
    async fn third(&self) -> World {
        gateway(&self.services, &self.redis, &self.look, Arc::new(SystemClock), UNHURRIED).await
    }

    /// Keys of values, those of generations aside.
    async fn values(&self) -> Vec<String> {
        self.look.keys().await.into_iter().filter(|key| !key.ends_with('}')).collect()
    }

    /// Changes every event behind everybody's back.
    fn rename(&self) {
        for event in self.services.script.events.lock().unwrap().iter_mut() {
            event.title = event.title.replace("Event", "New");
        }
    }

    /// How often catalog was asked.
    fn asked(&self) -> usize {
        ["batch_get_events", "search_events"].iter().map(|method| self.services.script.calls(method).len()).sum()
    }
}

/// A gateway that uses Redis.
async fn gateway(
    services: &World,
    redis: &RedisServer,
    look: &Connection,
    clock: Arc<dyn Clock>,
    timeout: Duration,
) -> World {
    let gateway = services
        .beside(clock, |config| {
            config.redis.url = redis.url().into();
            config.redis.timeout = timeout;
            config.cache.staleness = STALENESS;
        })
        .await;
    uses_redis(&gateway, look).await;
    gateway
}

/// Waits until a gateway stores what it reads.
async fn uses_redis(gateway: &World, look: &Connection) {
    let before = look.keys().await.len();
    eventually("the gateway uses Redis", async || {
        gateway.browse(&format!(r#"{{ event(id: "{}") {{ title }} }}"#, EventId::new())).await;
        look.keys().await.len() > before
    })
    .await;
}

/// Titles of two events, and of all on the first page.
async fn ask(gateway: &World) -> Vec<String> {
    let event = |n: u32| format!(r#"e{n}: event(id: "{}") {{ title }}"#, id(n));
    let query = format!("{{ {} {} events {{ edges {{ node {{ title }} }} }} }}", event(1), event(2));
    let answer = gateway.browse(&query).await;
    let data = &answer["data"];
    let page = data["events"]["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]);
    [&data["e1"], &data["e2"]]
        .into_iter()
        .chain(page)
        .map(|event| event["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn replicas_share_what_one_of_them_has_read() {
    let pair = Pair::start().await;
    let asked = pair.asked();
    pair.rename();

    assert_eq!(ask(&pair.second).await, OLD, "what lies in Redis");
    assert_eq!(pair.asked(), asked);
}

#[tokio::test]
async fn a_change_through_one_replica_is_final_for_what_lies_in_redis() {
    let pair = Pair::start().await;
    let mut stored = Vec::new();
    for key in pair.values().await {
        stored.push((key.clone(), pair.look.get(&key).await.unwrap()));
    }
    pair.rename();

    let admin = pair.first.admin();
    for n in [1, 2] {
        let change = format!(r#"mutation {{ publishEvent(input: {{eventId: "{}"}}) {{ event {{ id }} }} }}"#, id(n));
        pair.first.ask(&admin, &change).await;
    }
    // What was read before the changes arrives after them, as from a slow replica.
    for (key, value) in stored {
        pair.look.set(&key, value).await;
    }

    assert_eq!(ask(&pair.second).await, NEW);
    assert_eq!(ask(&pair.first).await, NEW);
}

#[tokio::test]
async fn what_cannot_be_right_is_read_again() {
    let pair = Pair::start().await;
    let generations: Vec<String> = pair.look.keys().await.into_iter().filter(|key| key.ends_with('}')).collect();
    let values = pair.values().await;
    let mut honest = Vec::new();
    for key in &values {
        honest.push(pair.look.get(key).await.unwrap());
    }
    let elsewhere: Vec<Bytes> = (0..honest.len()).map(|n| honest[(n + 1) % honest.len()].clone()).collect();
    let cut: Vec<Bytes> = honest.iter().map(|value| value.slice(..value.len() - 1)).collect();
    let garbage: Vec<Bytes> = (0..honest.len()).map(|_| Bytes::from_static(b"\xff\x00garbage")).collect();

    for (lie, lies) in [("of another key", elsewhere), ("cut short", cut), ("garbage", garbage)] {
        for (key, value) in values.iter().zip(&lies) {
            pair.look.set(key, value.clone()).await;
        }
        let fresh = pair.third().await;
        let asked = pair.asked();

        assert_eq!(ask(&fresh).await, OLD, "{lie}");
        assert!(pair.asked() > asked, "{lie}: catalog was asked");
        for (key, value) in values.iter().zip(&lies) {
            assert_ne!(pair.look.get(key).await.as_ref(), Some(value), "{lie}: it is replaced");
        }
    }

    for key in generations.iter().chain(&values) {
        pair.look.set_list(key).await;
    }
    assert_eq!(ask(&pair.second).await, OLD, "another type");
    assert_eq!(ask(&pair.third().await).await, OLD, "another type, healed");
}

#[tokio::test]
async fn a_value_that_is_too_old_or_from_the_future_is_read_again() {
    for hours in [-1, 1] {
        let elsewhere = ManualClock::at(SystemClock.now() + chrono::Duration::hours(hours));
        let pair = Pair::with(Arc::new(elsewhere), UNHURRIED).await;
        let before = pair.values().await;
        pair.rename();

        assert_eq!(ask(&pair.second).await, NEW, "{hours} h");
        assert!(before.iter().all(|key| key.starts_with("eventix:")), "it lay there: {before:?}");
    }
}

#[tokio::test]
async fn a_flushed_redis_is_filled_again() {
    let pair = Pair::start().await;
    pair.rename();

    pair.look.flush().await;

    assert_eq!(ask(&pair.second).await, NEW);
    assert_eq!(pair.values().await.len(), 3);
}

#[tokio::test]
async fn a_killed_redis_costs_nothing_but_its_help_and_is_found_again() {
    let mut pair = Pair::with(Arc::new(SystemClock), HURRIED).await;
    pair.rename();

    pair.redis.kill().await;
    let started = Instant::now();
    assert_eq!(ask(&pair.second).await, NEW);
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());

    pair.redis.restart().await;
    pair.look = pair.redis.connect().await;
    uses_redis(&pair.second, &pair.look).await;
}

#[tokio::test]
async fn a_frozen_redis_delays_one_request_now_and_then_and_not_each() {
    const REQUESTS: u32 = 40;
    let pair = Pair::with(Arc::new(SystemClock), HURRIED).await;
    let misses = async || {
        let started = Instant::now();
        for _ in 0..REQUESTS {
            pair.second.browse(&format!(r#"{{ event(id: "{}") {{ title }} }}"#, EventId::new())).await;
        }
        started.elapsed()
    };
    let with_redis = misses().await;
    pair.rename();

    pair.redis.freeze();
    eventually("it is frozen", async || pair.redis.is_frozen()).await;
    let frozen = misses().await;
    assert_eq!(ask(&pair.second).await, NEW);
    assert!(pair.redis.is_frozen());
    // Forty commands of 50 ms each would be two seconds more.
    assert!(frozen < with_redis * 2 + PATIENCE, "{frozen:?}, and {with_redis:?} before");

    pair.redis.thaw();
    uses_redis(&pair.second, &pair.look).await;
}
