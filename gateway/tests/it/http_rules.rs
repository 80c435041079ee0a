//! GraphQL over HTTP: methods, media types, bodies, statuses.

use std::sync::Arc;

use common::clock::SystemClock;
use common::runtime::Shutdown;
use common::settings::Peer;
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use crate::fakes;
use crate::world::{World, code, event};

const JSON: (&str, &str) = ("content-type", "application/json");
const MODERN: (&str, &str) = ("accept", "application/graphql-response+json");

/// Name, method, path, headers, body, and the status that is due.
type Case<'a> = (&'a str, Method, &'a str, Vec<(&'a str, &'a str)>, &'a [u8], u16);

#[tokio::test]
async fn requests_are_answered_or_refused_by_the_book() {
    let world = World::start().await;
    let good = r#"{"query": "{ __typename }"}"#;
    let large = format!(r#"{{"query": "{{ __typename }}", "variables": {{"x": "{}"}}}}"#, "x".repeat(256 * 1024));
    let cases: Vec<Case<'_>> = vec![
        ("plain", Method::POST, "/graphql", vec![JSON], good.as_bytes(), 200),
        ("charset", Method::POST, "/graphql", vec![("content-type", "application/json; charset=UTF-8")], good.as_bytes(), 200),
        ("get", Method::GET, "/graphql?query=%7B__typename%7D", vec![], b"", 200),
        ("get with variables", Method::GET, "/graphql?query=query(%24a:Int)%7Bx:events(first:%24a)%7B__typename%7D%7D&variables=%7B%22a%22:1%7D", vec![], b"", 200),
        ("get without query", Method::GET, "/graphql", vec![], b"", 400),
        ("get mutation", Method::GET, "/graphql?query=mutation%7B__typename%7D", vec![], b"", 405),
        ("put", Method::PUT, "/graphql", vec![JSON], good.as_bytes(), 405),
        ("delete", Method::DELETE, "/graphql", vec![], b"", 405),
        ("head", Method::HEAD, "/graphql?query=%7B__typename%7D", vec![], b"", 405),
        ("no content type", Method::POST, "/graphql", vec![], good.as_bytes(), 415),
        ("form", Method::POST, "/graphql", vec![("content-type", "application/x-www-form-urlencoded")], b"query=%7Ba%7D", 415),
        ("other charset", Method::POST, "/graphql", vec![("content-type", "application/json; charset=utf-16")], good.as_bytes(), 415),
        ("graphql", Method::POST, "/graphql", vec![("content-type", "application/graphql")], b"{a}", 415),
        ("html wanted", Method::POST, "/graphql", vec![JSON, ("accept", "text/html")], good.as_bytes(), 406),
        ("anything wanted", Method::POST, "/graphql", vec![JSON, ("accept", "*/*")], good.as_bytes(), 200),
        ("not json", Method::POST, "/graphql", vec![JSON], b"{", 400),
        ("not utf-8", Method::POST, "/graphql", vec![JSON], b"{\"query\": \"{ a }\xff\"}", 400),
        ("batch", Method::POST, "/graphql", vec![JSON], br#"[{"query": "{ __typename }"}]"#, 400),
        ("no query", Method::POST, "/graphql", vec![JSON], b"{}", 400),
        ("bad variables", Method::POST, "/graphql", vec![JSON], br#"{"query": "{ a }", "variables": 5}"#, 400),
        ("too large", Method::POST, "/graphql", vec![JSON], large.as_bytes(), 413),
        ("syntax, plain", Method::POST, "/graphql", vec![JSON], br#"{"query": "{ a"}"#, 200),
        ("syntax, modern", Method::POST, "/graphql", vec![JSON, MODERN], br#"{"query": "{ a"}"#, 400),
        ("invalid, plain", Method::POST, "/graphql", vec![JSON], br#"{"query": "{ a }"}"#, 200),
        ("invalid, modern", Method::POST, "/graphql", vec![JSON, MODERN], br#"{"query": "{ a }"}"#, 400),
        ("unknown operation", Method::POST, "/graphql", vec![JSON, MODERN], br#"{"query": "query A { __typename }", "operationName": "B"}"#, 400),
        ("which operation", Method::POST, "/graphql", vec![JSON, MODERN], br#"{"query": "query A { __typename } query B { __typename }"}"#, 400),
        ("this operation", Method::POST, "/graphql", vec![JSON, MODERN], br#"{"query": "query A { __typename } query B { __typename }", "operationName": "B"}"#, 200),
        ("wrong variable", Method::POST, "/graphql", vec![JSON, MODERN], br#"{"query": "query($s: EventStatus) { events(status: $s) { __typename } }", "variables": {"s": "NEVER"}}"#, 400),
    ];
    for (name, method, path, headers, body, status) in cases {
        let answer = world.send(method.clone(), path, &headers, body.to_vec()).await;

        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        if method == Method::HEAD {
            continue;
        }
        let json = answer.json();
        if answer.status == 200 && code(&json).is_none() {
            assert!(json["data"].is_object(), "{name}: {json}");
        } else {
            assert!(json.get("data").is_none(), "{name}: nothing was executed, {json}");
            let trace = json["errors"][0]["extensions"]["traceId"].as_str();
            assert_eq!(trace, answer.header("x-trace-id"), "{name}: {json}");
            assert_eq!(trace.map(str::len), Some(32), "{name}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn allowed_methods_are_named() {
    let world = World::start().await;

    let put = world.send(Method::PUT, "/graphql", &[], "").await;
    let mutation = world.send(Method::GET, "/graphql?query=mutation%7B__typename%7D", &[], "").await;

    assert_eq!(put.header("allow"), Some("GET, POST"));
    assert_eq!(mutation.header("allow"), Some("POST"));
}

#[tokio::test]
async fn answers_carry_the_media_type_that_was_asked_for() {
    let world = World::start().await;
    let body = json!({"query": "{ __typename }"});
    for (accept, content_type) in [
        (
            "application/graphql-response+json, application/json;q=0.9",
            "application/graphql-response+json; charset=utf-8",
        ),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
    ] {
        let answer = world.post(None, &body, &[("accept", accept)]).await;
        assert_eq!(answer.header("content-type"), Some(content_type), "{accept}");
    }
}

#[tokio::test]
async fn a_large_body_is_only_for_an_admins_import() {
    let world = World::start().await;
    let plan = json!({"name": "Big", "filler": "x".repeat(600 * 1024)});
    let import = "mutation($plan: JSON!) { importSeatingPlan(input: {venueId: \"v\", plan: $plan, \
                  areas: [{name: \"Floor\", capacity: 300}]}) { seatingPlan { id seatCount } userErrors { code } } }";
    let body = json!({"query": import, "variables": {"plan": plan}});
    let other = json!({"query": "{ __typename }", "variables": {"plan": plan}});

    let by_alice = world.post(Some(&world.alice()), &body, &[]).await;
    let other_by_admin = world.post(Some(&world.admin()), &other, &[]).await;
    let by_admin = world.post(Some(&world.admin()), &body, &[]).await;

    assert_eq!(by_alice.status, 413);
    assert_eq!(other_by_admin.status, 413);
    assert_eq!(by_admin.json()["data"]["importSeatingPlan"]["seatingPlan"]["seatCount"], 7, "{}", by_admin.text);
    let stored: serde_json::Value = serde_json::from_slice(&world.script.imported.lock().unwrap()).unwrap();
    assert_eq!(stored, plan);
    let header = world.script.import_header.lock().unwrap().clone().unwrap();
    assert_eq!((header.venue_id.as_str(), header.areas[0].capacity), ("v", 300));
}

#[tokio::test]
async fn a_clients_trace_is_continued() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace_id}-b7ad6b7169203331-01");

    let answer = world.post(None, &json!({"query": "{ events { __typename } }"}), &[("traceparent", &parent)]).await;

    assert_eq!(answer.header("x-trace-id"), Some(trace_id));
}

#[tokio::test]
async fn readiness_names_the_services_that_are_missing() {
    let world = World::start().await;

    let live = world.send(Method::GET, "/health/live", &[], "").await;
    let ready = world.send(Method::GET, "/health/ready", &[], "").await;
    world.stop_services().await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let after = world.send(Method::GET, "/health/ready", &[], "").await;

    assert_eq!((live.status, ready.status), (200, 200), "{}", ready.text);
    assert_eq!(after.status, 503);
    assert_eq!(after.json()["missing"], json!(["catalog", "booking", "payment"]));
}

#[tokio::test]
async fn a_gateway_that_sold_once_stays_ready_without_catalog_and_payment() {
    let world = World::start().await;
    let (others, mut tasks) = (Shutdown::new(), JoinSet::new());
    let verifier = world.issuer.verifier().unwrap();
    let [catalog, _, payment] = fakes::start(&world.script, &verifier, &mut tasks, &others).await;
    let apart =
        |config: &mut gateway::Config| (config.catalog, config.payment) = (Peer::at(catalog), Peer::at(payment));
    let ready = async |world: &World| world.send(Method::GET, "/health/ready", &[], "").await;

    let seasoned = world.beside(Arc::new(SystemClock), apart).await;
    assert_eq!(ready(&seasoned).await.status, 200);
    others.cancel();
    while tasks.join_next().await.is_some() {}
    let fresh = world.beside(Arc::new(SystemClock), apart).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;

    assert_eq!(ready(&seasoned).await.status, 200, "bookings go on");
    assert_eq!(ready(&fresh).await.json()["missing"], json!(["catalog", "payment"]), "it was never whole");
    world.stop_services().await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(ready(&seasoned).await.json()["missing"], json!(["catalog", "booking", "payment"]));
}

#[tokio::test]
async fn metrics_count_operations_by_their_root_field() {
    let world = World::start().await;
    world.browse("{ events { __typename } }").await;
    world.browse("{ madeUpByAClient }").await;

    let metrics = world.send(Method::GET, "/metrics", &[], "").await.text;

    assert!(metrics.contains(r#"method="events""#), "{metrics}");
    assert!(!metrics.contains("madeUpByAClient"), "{metrics}");
}
