//! What is kept between requests: for whom, for how long, and that nothing read before a change is shown after it.

use std::time::Duration;

use common::proto::catalog::v1::{Event, EventStatus};
use serde_json::{Value, json};

use crate::world::{World, code, event, eventually, id, venue};

/// Longer than any test: what is seen earlier is not seen because something aged.
const AGES: Duration = Duration::from_secs(3600);

async fn patient() -> World {
    World::with(true, |config| {
        config.cache.staleness = AGES;
        config.cache.absence = AGES;
    })
    .await
}

fn title_of(n: u32) -> String {
    format!(r#"{{ event(id: "{}") {{ title }} }}"#, id(n))
}

fn rename(world: &World, n: u32, title: &str) {
    let mut events = world.script.events.lock().unwrap();
    events.iter_mut().find(|event| event.id == id(n)).unwrap().title = title.into();
}

fn titles(answer: &Value) -> Vec<String> {
    let edges = answer["data"]["events"]["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"]["title"].as_str().unwrap().to_owned()).collect()
}

const SEARCH: &str = "{ events { edges { node { title } } } }";

#[tokio::test]
async fn what_everybody_may_see_is_read_once_for_all() {
    let world = patient().await;
    world.script.events.lock().unwrap().extend([event(1), event(2)]);
    world.script.venues.lock().unwrap().push(venue(800));
    let document = format!(
        r#"{{ event(id: "{}") {{ title }} venue(id: "{}") {{ name }} events(filter: {{text: "x"}}) {{ edges {{ node {{ id }} }} }} }}"#,
        id(1),
        id(800)
    );

    let first = world.browse(&document).await;
    let again = world.browse(&document).await;
    let by_alice = world.ask(&world.alice(), &document).await;

    assert_eq!(first["data"]["event"]["title"], "Event 1");
    assert_eq!((&first, &first), (&again, &by_alice));
    for method in ["batch_get_events", "batch_get_venues", "search_events"] {
        assert_eq!(world.script.calls(method).len(), 1, "{method}");
    }
}

#[tokio::test]
async fn a_crowd_that_misses_the_same_page_asks_catalog_once() {
    let world = patient().await;
    world.script.events.lock().unwrap().push(event(1));
    let release = world.script.hold("search_events");

    let crowd = futures_util::future::join_all((0..50).map(|_| world.browse(SEARCH)));
    let open = async {
        eventually("catalog is asked", async || !world.script.calls("search_events").is_empty()).await;
        release.cancel();
    };
    let (answers, ()) = tokio::join!(crowd, open);

    assert!(answers.iter().all(|answer| titles(answer) == ["Event 1"]));
    assert_eq!(world.script.calls("search_events").len(), 1);
}

#[tokio::test]
async fn organisers_read_past_all_of_it() {
    let world = patient().await;
    world.script.events.lock().unwrap().push(event(1));
    world.browse(&title_of(1)).await;
    world.browse(SEARCH).await;
    rename(&world, 1, "Renamed");

    let admin = world.admin();
    assert_eq!(world.ask(&admin, &title_of(1)).await["data"]["event"]["title"], "Renamed");
    assert_eq!(titles(&world.ask(&admin, SEARCH).await), ["Renamed"]);
    assert_eq!(world.browse(&title_of(1)).await["data"]["event"]["title"], "Event 1", "and leave nothing behind");
}

#[tokio::test]
async fn absence_is_kept_too_and_drafts_are_absent() {
    let world = patient().await;
    let mut draft = event(1);
    (draft.status, draft.offer_version) = (EventStatus::Draft.into(), 0);
    let never_shown = Event { id: id(2), status: EventStatus::Cancelled.into(), ..draft.clone() };
    world.script.events.lock().unwrap().extend([draft, never_shown]);
    let nothing = json!({"data": {"event": null}});

    for n in [1, 2, 3] {
        assert_eq!(world.browse(&title_of(n)).await, nothing);
        assert_eq!(world.browse(&title_of(n)).await, nothing);
    }

    assert_eq!(world.script.calls("batch_get_events").len(), 3);
}

#[tokio::test]
async fn that_catalog_takes_the_gateway_for_nobody_is_no_fault_of_whoever_asks() {
    let world = World::start().await;
    world.script.events.lock().unwrap().push(event(1));
    for (n, status) in [(1, tonic::Status::unauthenticated("who are you")), (2, tonic::Status::permission_denied("no"))]
    {
        for method in ["search_events", "batch_get_events", "batch_get_venues", "stream_seating_plan"] {
            world.script.refuse(method, status.clone());
        }
        for query in [SEARCH.to_owned(), title_of(n), format!(r#"{{ venue(id: "{}") {{ name }} }}"#, id(n))] {
            let answer = world.browse(&query).await;
            assert_eq!(code(&answer), Some("UNAVAILABLE"), "{answer}");
        }
    }
}

#[tokio::test]
async fn nothing_is_older_than_the_bound() {
    let world = World::with(true, |config| config.cache.staleness = Duration::from_millis(300)).await;
    world.script.events.lock().unwrap().push(event(1));
    world.browse(&title_of(1)).await;
    world.browse(SEARCH).await;
    let read = tokio::time::Instant::now();
    rename(&world, 1, "Renamed");

    eventually("the change is seen", async || {
        world.browse(&title_of(1)).await["data"]["event"]["title"] == "Renamed"
            && titles(&world.browse(SEARCH).await) == ["Renamed"]
    })
    .await;

    assert!(read.elapsed() >= Duration::from_millis(250), "it was kept for its time");
}

#[tokio::test]
async fn a_failure_is_not_kept() {
    let world = patient().await;
    world.script.events.lock().unwrap().push(event(1));
    world.script.refuse("search_events", tonic::Status::internal("once"));
    assert!(world.browse(SEARCH).await["errors"].is_array());

    world.script.allow("search_events");

    assert_eq!(titles(&world.browse(SEARCH).await), ["Event 1"]);
}

#[tokio::test]
async fn an_organisers_change_is_seen_by_everybody_at_once() {
    let world = patient().await;
    world.script.events.lock().unwrap().push(event(1));
    for (n, mutation) in [
        r#"publishEvent(input: {eventId: "ID"})"#,
        r#"cancelEvent(input: {eventId: "ID"})"#,
        r#"setPrices(input: {eventId: "ID", prices: []})"#,
        r#"updateEvent(input: {eventId: "ID", expectedVersion: 1})"#,
    ]
    .into_iter()
    .enumerate()
    {
        world.browse(&title_of(1)).await;
        world.browse(SEARCH).await;
        let title = format!("Renamed {n}");
        rename(&world, 1, &title);

        let document = format!("mutation {{ {} {{ event {{ id }} }} }}", mutation.replace("ID", &id(1)));
        world.ask(&world.admin(), &document).await;

        assert_eq!(world.browse(&title_of(1)).await["data"]["event"]["title"], *title, "{mutation}");
        assert_eq!(titles(&world.browse(SEARCH).await), [title], "{mutation}");
    }
}

#[tokio::test]
async fn a_read_under_way_during_a_change_leaves_nothing_behind() {
    let world = patient().await;
    world.script.events.lock().unwrap().push(event(1));
    let releases = [world.script.hold("batch_get_events"), world.script.hold("search_events")];
    let (event_query, change) =
        (title_of(1), format!(r#"mutation {{ publishEvent(input: {{eventId: "{}"}}) {{ event {{ id }} }} }}"#, id(1)));

    let early = async { tokio::join!(world.browse(&event_query), world.browse(SEARCH)) };
    let meanwhile = async {
        for method in ["batch_get_events", "search_events"] {
            eventually("catalog is asked", async || !world.script.calls(method).is_empty()).await;
        }
        rename(&world, 1, "Renamed");
        world.ask(&world.admin(), &change).await;
        for release in releases {
            release.cancel();
        }
    };
    let ((early_event, early_page), ()) = tokio::join!(early, meanwhile);

    assert_eq!(early_event["data"]["event"]["title"], "Event 1", "it was asked before the change");
    assert_eq!(titles(&early_page), ["Event 1"]);
    assert_eq!(world.browse(&event_query).await["data"]["event"]["title"], "Renamed");
    assert_eq!(titles(&world.browse(SEARCH).await), ["Renamed"]);
}
