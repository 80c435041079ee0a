//! How often one caller may ask: whose limit it is, how a refusal looks, what is exempt, and what replicas share.

use std::sync::Arc;
use std::time::Duration;

use common::auth::Role;
use common::clock::SystemClock;
use common::ids::EventId;
use gateway::Config;
use gateway::rate_limit::Rate;
use http::Method;
use serde_json::json;
use tokio::time::Instant;

use crate::redis_server::{Connection, RedisServer};
use crate::world::{Answer, World, code, eventually};

const READ: &str = "{ __typename }";
const MUTATION: &str = r#"mutation { publishEvent(input: {eventId: "x"}) { __typename } }"#;
const READS: usize = 6;
const MUTATIONS: usize = 3;
const ADDRESS: usize = 4;
/// Patience with a healthy Redis beside a busy test run, and the default.
const UNHURRIED: Duration = Duration::from_secs(5);
const HURRIED: Duration = Duration::from_millis(50);
/// Requests at once: more than any of the bursts.
const CROWD: usize = 20;

/// Bursts as above; one request per second comes back.
fn limited(config: &mut Config) {
    let slow = |burst: usize| Rate { per_second: 1, burst: burst.try_into().unwrap() };
    config.rate_limit.enabled = Some(true);
    config.rate_limit.reads = slow(READS);
    config.rate_limit.mutations = slow(MUTATIONS);
    config.rate_limit.address = slow(ADDRESS);
}

/// Sends many requests at once and says how many were let through.
async fn crowd(worlds: &[&World], token: Option<&str>, document: &str, headers: &[(&str, &str)]) -> Passed {
    let started = Instant::now();
    let body = json!({"query": document});
    let sent = (0..CROWD).map(|n| worlds[n % worlds.len()].post(token, &body, headers));
    let answers = futures_util::future::join_all(sent).await;
    let passed = answers.iter().filter(|answer| answer.status != 429).count();
    Passed { passed, came_back: usize::try_from(started.elapsed().as_secs()).unwrap() + 1 }
}

struct Passed {
    passed: usize,
    /// What may have come back while they were sent.
    came_back: usize,
}

impl Passed {
    fn is_burst_of(&self, burst: usize) -> bool {
        (burst..=burst + self.came_back).contains(&self.passed)
    }
}

async fn refused(world: &World, token: Option<&str>, document: &str) -> Answer {
    let body = json!({"query": document});
    for _ in 0..10 * CROWD {
        let answer = world.post(token, &body, &[]).await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("nothing was refused");
}

#[tokio::test]
async fn nothing_is_limited_unless_it_is_switched_on() {
    let world = World::start().await;

    assert_eq!(crowd(&[&world], None, READ, &[]).await.passed, CROWD);
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back_and_in_which_trace() {
    let world = World::with(true, limited).await;

    let answer = refused(&world, None, READ).await;

    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(code(&answer.json()), Some("RATE_LIMITED"));
    assert_eq!(answer.json()["errors"][0]["extensions"]["traceId"].as_str(), answer.header("x-trace-id"));
    assert!(answer.json().get("data").is_none());
}

#[tokio::test]
async fn subjects_have_limits_of_their_own_for_reads_and_mutations() {
    let world = World::with(true, limited).await;
    let (alice, bob) = (world.alice(), world.token("bob", Role::Customer));

    assert!(crowd(&[&world], Some(&alice), READ, &[]).await.is_burst_of(READS));
    assert!(crowd(&[&world], Some(&alice), MUTATION, &[]).await.is_burst_of(MUTATIONS));
    assert!(crowd(&[&world], Some(&bob), READ, &[]).await.is_burst_of(READS));
    let another_token = world.alice();
    assert!(crowd(&[&world], Some(&another_token), READ, &[]).await.passed <= 2, "a new token is no new subject");
}

#[tokio::test]
async fn what_cannot_be_executed_counts_too() {
    let world = World::with(true, limited).await;
    let alice = world.alice();

    assert!(crowd(&[&world], Some(&alice), "{ nonsense", &[]).await.is_burst_of(READS));
    assert!(crowd(&[&world], Some("no token"), READ, &[]).await.is_burst_of(ADDRESS), "bad tokens by address");
}

#[tokio::test]
async fn addresses_are_told_by_trusted_proxies_only() {
    let (direct, proxied) = (
        World::with(true, limited).await,
        World::with(true, |config| {
            limited(config);
            config.rate_limit.trusted_proxies = 1;
        })
        .await,
    );
    let from = |address: &'static str| [("x-forwarded-for", address)];

    assert!(crowd(&[&direct], None, READ, &from("203.0.113.1")).await.is_burst_of(ADDRESS));
    assert!(crowd(&[&direct], None, READ, &from("203.0.113.2")).await.passed <= 2, "a header is no address");
    assert!(crowd(&[&proxied], None, READ, &from("203.0.113.1")).await.is_burst_of(ADDRESS));
    assert!(crowd(&[&proxied], None, READ, &from("6.6.6.6, 203.0.113.2")).await.is_burst_of(ADDRESS));
    assert!(crowd(&[&proxied], None, READ, &from("7.7.7.7, 203.0.113.2")).await.passed <= 2);
    assert!(crowd(&[&proxied], None, READ, &from("2001:db8::1")).await.is_burst_of(ADDRESS));
    assert!(crowd(&[&proxied], None, READ, &from("2001:db8::2")).await.passed <= 2, "one network");
}

#[tokio::test]
async fn probes_are_exempt() {
    let world = World::with(true, limited).await;
    refused(&world, None, READ).await;

    for path in ["/health/live", "/health/ready", "/metrics"] {
        for _ in 0..CROWD {
            assert_eq!(world.send(Method::GET, path, &[], "").await.status, 200, "{path}");
        }
    }
    let metrics = world.send(Method::GET, "/metrics", &[], "").await.text;
    assert!(metrics.contains("eventix_rate_limit_refused"), "{metrics}");
}

/// Two gateways on one Redis, which both use when this returns.
struct Replicas {
    first: World,
    second: World,
    look: Connection,
    _services: World,
}

impl Replicas {
    async fn start(redis: &RedisServer, timeout: Duration) -> Self {
        let services = World::start().await;
        let look = redis.connect().await;
        let start = async || {
            let world = services
                .beside(Arc::new(SystemClock), |config| {
                    limited(config);
                    config.redis.url = redis.url().into();
                    config.redis.timeout = timeout;
                })
                .await;
            look.flush().await;
            eventually("the gateway counts in Redis", async || {
                world.ask(&world.token(&EventId::new().to_string(), Role::Customer), READ).await;
                !look.keys().await.is_empty()
            })
            .await;
            world
        };
        let (first, second) = (start().await, start().await);
        Self { first, second, look, _services: services }
    }
}

#[tokio::test]
async fn replicas_share_a_limit() {
    let redis = RedisServer::start().await;
    let Replicas { first, second, .. } = &Replicas::start(&redis, UNHURRIED).await;

    assert!(crowd(&[first, second], Some(&first.alice()), READ, &[]).await.is_burst_of(READS));
    assert!(crowd(&[first, second], Some(&first.alice()), MUTATION, &[]).await.is_burst_of(MUTATIONS));
    assert!(crowd(&[second], Some(&first.token("bob", Role::Customer)), READ, &[]).await.is_burst_of(READS));
}

#[tokio::test]
async fn without_redis_each_replica_keeps_the_limit_for_itself_and_refuses_nobody_else() {
    let mut redis = RedisServer::start().await;
    let Replicas { first, second, .. } = &Replicas::start(&redis, HURRIED).await;

    redis.freeze();
    eventually("it is frozen", async || redis.is_frozen()).await;
    let alice = first.alice();
    assert!(crowd(&[first], Some(&alice), READ, &[]).await.is_burst_of(READS));
    assert!(crowd(&[second], Some(&alice), READ, &[]).await.is_burst_of(READS));
    for n in 0..CROWD {
        let answer = first.ask(&first.token(&format!("customer {n}"), Role::Customer), READ).await;
        assert_eq!(answer["data"]["__typename"], "Query", "{answer}");
    }
    assert!(redis.is_frozen());
    redis.thaw();

    redis.kill().await;
    assert!(crowd(&[first], Some(&first.token("bob", Role::Customer)), READ, &[]).await.is_burst_of(READS));
}

#[tokio::test]
async fn a_count_that_cannot_be_is_started_anew() {
    let redis = RedisServer::start().await;
    let Replicas { first, second, look, .. } = &Replicas::start(&redis, UNHURRIED).await;
    let lies = ["", "garbage", "nan", "inf", "-1", "99999999999999999999"];

    for (n, lie) in lies.into_iter().chain(["a list"]).enumerate() {
        look.flush().await;
        let token = first.token(&format!("customer {n}"), Role::Customer);
        first.ask(&token, READ).await;
        let key = look.keys().await.into_iter().find(|key| key.starts_with("eventix:limit:")).unwrap();
        match lie {
            "a list" => look.set_list(&key).await,
            lie => look.set(&key, lie.as_bytes().to_vec().into()).await,
        }

        let passed = crowd(&[second], Some(&token), READ, &[]).await;
        assert!(passed.is_burst_of(READS), "{lie}: {} passed", passed.passed);
    }
}
