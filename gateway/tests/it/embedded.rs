//! What only the embedded run has.

use http::Method;
use serde_json::json;

use crate::world::World;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn tokens_are_minted_on_demand_and_work() {
    let world = World::start().await;

    let minted = world.send(Method::POST, "/dev/token", &JSON, r#"{"user": "alice", "role": "Customer"}"#).await;
    let token = minted.json()["token"].as_str().unwrap().to_owned();
    let answer = world.ask(&token, "{ myBookings { __typename } }").await;

    assert_eq!(minted.status, 200);
    assert_eq!(answer, json!({"data": {"myBookings": {"__typename": "BookingConnection"}}}));
    assert_eq!(world.script.calls("list_bookings")[0].caller.subject, "alice");
}

#[tokio::test]
async fn bad_token_requests_are_told_why() {
    let world = World::start().await;
    let long = format!(r#"{{"user": "{}", "role": "Admin"}}"#, "x".repeat(300));
    for body in [
        "",
        "{}",
        r#"{"user": "a", "role": "King"}"#,
        r#"{"user": "a", "role": "Service"}"#,
        r#"{"user": "", "role": "Admin"}"#,
        &long,
    ] {
        let answer = world.send(Method::POST, "/dev/token", &JSON, body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"].is_string(), "{body}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_page_stands_at_the_root_with_a_strict_policy() {
    let world = World::start().await;

    let page = world.send(Method::GET, "/", &[], "").await;
    let keys = world.send(Method::GET, "/.well-known/jwks.json", &[], "").await;

    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    assert!(page.text.contains("/dev/token"));
    assert_eq!(keys.json()["keys"][0]["kid"], "eventix-development");
}

#[tokio::test]
async fn other_origins_may_ask_in_the_embedded_run_only() {
    let preflight = [("origin", "http://localhost:3000"), ("access-control-request-method", "POST")];
    let (open, closed) = (World::start().await, World::closed().await);

    let allowed = open.send(Method::OPTIONS, "/graphql", &preflight, "").await;
    let refused = closed.send(Method::OPTIONS, "/graphql", &preflight, "").await;

    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (405, None));
}

#[tokio::test]
async fn production_has_none_of_it() {
    let world = World::closed().await;

    for (method, path) in [(Method::GET, "/"), (Method::POST, "/dev/token"), (Method::GET, "/.well-known/jwks.json")] {
        assert_eq!(world.send(method, path, &[], "").await.status, 404, "{path}");
    }
    world.end().await;
}
