//! Documents over a limit are refused before anything is called, naming limit and value.

use serde_json::json;

use crate::world::{World, code, event};

#[tokio::test]
async fn each_limit_is_named_with_its_value() {
    let world = World::start().await;
    let bomb: String = (0..40).map(|n| format!("fragment F{n} on Query {{ ...F{} ...F{} }} ", n + 1, n + 1)).collect();
    let events = |n: usize| (0..n).map(|i| format!("e{i}: events {{ __typename }} ")).collect::<String>();
    for (document, limit) in [
        (format!("{{ {} }}", "events { edges { node { seatMap { zones { rows { seats { price { x { x { x { x { x { x } } } } } } } } } } } } }"), "12"),
        (format!("{{ {} }}", events(51)), "50"),
        (format!("{{ {} }}", "events { __typename } ".repeat(21)), "20"),
        (format!("{bomb} fragment F40 on Query {{ __typename }} {{ ...F0 }}"), "2000"),
        (format!("{{ __typename {} }}", "@skip(if: false) ".repeat(21)), "20"),
        ("mutation { a: publishEvent(input: {eventId: \"a\"}) { __typename } b: publishEvent(input: {eventId: \"b\"}) { __typename } }".into(), "1"),
        (format!("{{ {} }}", "a ".repeat(5000)), "5000"),
        ("{".repeat(5_000), "60"),
        ("{ events(first: 100) { edges { node { a: seatMap { zones { name } } b: seatMap { zones { name } } } } } }".into(), "100000"),
    ] {
        let answer = world.browse(&document).await;

        let message = answer["errors"][0]["message"].as_str().unwrap_or_default();
        assert_eq!(code(&answer), Some("GRAPHQL_VALIDATION_FAILED"), "{answer}");
        assert!(message.ends_with(&format!("the limit is {limit}")), "{limit}: {message}");
    }
    assert!(world.script.calls("search_events").is_empty());
}

#[tokio::test]
async fn fragment_cycles_are_refused() {
    let world = World::start().await;

    let answer = world.browse("fragment A on Query { ...B } fragment B on Query { ...A } { ...A }").await;

    assert_eq!(code(&answer), Some("GRAPHQL_VALIDATION_FAILED"));
}

#[tokio::test]
async fn graphiqls_introspection_works_in_the_embedded_run_only() {
    let open = World::start().await;
    let closed = World::closed().await;

    let shown = open.browse(INTROSPECTION).await;
    let hidden = closed.browse(INTROSPECTION).await;
    let guess = closed.browse("{ event(id: \"x\") { titel } }").await;

    assert!(shown["data"]["__schema"]["types"].as_array().is_some_and(|types| types.len() > 30), "{shown}");
    assert_eq!(code(&hidden), Some("GRAPHQL_VALIDATION_FAILED"));
    assert!(!guess["errors"][0]["message"].as_str().unwrap().contains("title"), "no suggestions: {guess}");
}

#[tokio::test]
async fn limits_are_settings() {
    let world = World::with(true, |config| config.limits.depth = 2).await;
    world.script.events.lock().unwrap().push(event(1));

    let flat = world.browse("{ events { __typename } }").await;
    let deep = world.browse("{ events { edges { cursor } } }").await;

    assert_eq!(flat, json!({"data": {"events": {"__typename": "EventConnection"}}}));
    assert_eq!(deep["errors"][0]["message"], "the document has 3 levels, the limit is 2");
}

/// As GraphiQL sends it.
const INTROSPECTION: &str = "query IntrospectionQuery {
  __schema {
    queryType { name } mutationType { name } subscriptionType { name }
    types { ...FullType }
    directives { name description locations args { ...InputValue } }
  }
}
fragment FullType on __Type {
  kind name description
  fields(includeDeprecated: true) { name description args { ...InputValue } type { ...TypeRef } isDeprecated deprecationReason }
  inputFields { ...InputValue }
  interfaces { ...TypeRef }
  enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason }
  possibleTypes { ...TypeRef }
}
fragment InputValue on __InputValue { name description type { ...TypeRef } defaultValue }
fragment TypeRef on __Type {
  kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
    ofType { kind name ofType { kind name ofType { kind name } } } } } } } } }
}";
