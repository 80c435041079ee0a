//! The edge as production has it: an OIDC issuer's tokens, and what happens while that issuer is not well.

use std::time::{Duration, Instant};

use common::auth::Role;
use common::testing::issuer::{Behaviour, TestIssuer};
use http::Method;
use serde_json::{Value, json};

use crate::world::{World, code};

const BROWSE: &str = "{ events { __typename } }";

async fn readiness(world: &World) -> (u16, Value) {
    let answer = world.send(Method::GET, "/health/ready", &[], "").await;
    (answer.status, answer.json())
}

async fn until_ready(world: &World) {
    let until = Instant::now() + Duration::from_secs(30);
    while readiness(world).await.0 != 200 {
        assert!(Instant::now() < until, "not ready in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_issuers_tokens_open_the_edge_and_development_tokens_do_not() {
    let issuer = TestIssuer::start().await;
    let world = World::trusting(&issuer.settings()).await;
    until_ready(&world).await;

    let browsing = world.browse(BROWSE).await;
    let mine = world.ask(&issuer.token("auth0|alice", Role::Customer), "{ myBookings { __typename } }").await;
    let development = world.ask(&world.alice(), BROWSE).await;

    assert_eq!(browsing, json!({"data": {"events": {"__typename": "EventConnection"}}}));
    assert_eq!(mine, json!({"data": {"myBookings": {"__typename": "BookingConnection"}}}));
    assert_eq!(code(&development), Some("UNAUTHENTICATED"));
    let (searches, lists) = (world.script.calls("search_events"), world.script.calls("list_bookings"));
    assert_eq!(searches[0].caller.roles, [Role::Service], "the gateway's own token, from the token endpoint");
    assert_eq!(lists[0].caller.subject, "auth0|alice");
    world.end().await;
}

#[tokio::test]
async fn without_the_issuers_keys_the_edge_is_not_ready_and_calls_nobodys_token_bad() {
    let issuer = TestIssuer::start().await;
    issuer.set_keys(Behaviour::Fails);
    let world = World::trusting(&issuer.settings()).await;
    let alice = issuer.token("auth0|alice", Role::Customer);

    let not_ready = readiness(&world).await;
    let unknown = world.post(Some(&alice), &json!({"query": BROWSE}), &[]).await;
    issuer.set_keys(Behaviour::Answers);
    until_ready(&world).await;
    let known = world.ask(&alice, BROWSE).await;

    assert_eq!(not_ready, (503, json!({"status": "not ready", "missing": ["identity"]})));
    assert_eq!((unknown.status, code(&unknown.json())), (503, Some("UNAVAILABLE")));
    assert_eq!(known["errors"], Value::Null);
    world.end().await;
}

#[tokio::test]
async fn without_a_token_of_its_own_the_edge_is_unavailable_to_browsers_whoever_they_are() {
    let issuer = TestIssuer::start().await;
    issuer.set_tokens(Behaviour::Fails);
    let world = World::trusting(&issuer.settings()).await;
    until_ready(&world).await;

    let anonymous = world.post(None, &json!({"query": BROWSE}), &[]).await;
    let alice = world.ask(&issuer.token("auth0|alice", Role::Customer), BROWSE).await;

    assert_eq!((anonymous.status, code(&anonymous.json())), (503, Some("UNAVAILABLE")));
    // What everybody may see is read with the gateway's own token, so that it can be kept for all.
    assert_eq!(code(&alice), Some("UNAVAILABLE"));
    world.end().await;
}
