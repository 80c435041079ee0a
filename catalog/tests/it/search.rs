//! Searching: what is found, in which order, page by page.

use common::grpc::Caller;
use common::proto::catalog::v1 as proto;
use tonic::{Code, Status};

use crate::on_both_databases;
use crate::world::{World, header, price, refusal, theatre_file, venue_named};

on_both_databases!(
    pages_join_without_gaps_or_repeats,
    text_finds_words_of_event_and_venue_and_no_syntax_breaks_it,
    filters_narrow_down,
    only_organisers_find_what_is_not_on_offer,
    bad_pages_are_refused,
);

async fn search(
    world: &World,
    caller: &Caller,
    request: proto::SearchEventsRequest,
) -> Result<proto::SearchEventsResponse, Status> {
    Ok(world.catalog.clone().search_events(caller.request(request)).await?.into_inner())
}

async fn titles(world: &World, caller: &Caller, request: proto::SearchEventsRequest) -> Vec<String> {
    let page_size = if request.page_size == 0 { 100 } else { request.page_size };
    let found = search(world, caller, proto::SearchEventsRequest { page_size, ..request }).await.unwrap();
    found.events.into_iter().map(|event| event.title).collect()
}

fn text(text: &str) -> proto::SearchEventsRequest {
    proto::SearchEventsRequest { text: text.into(), ..Default::default() }
}

/// Publishes events on one theatre; several start at the same instant.
async fn publish_many(world: &World, count: usize) {
    let plan = world.theatre().await;
    for n in 0..count {
        let event = world.event_on(&plan, &format!("Event {n}"), 100 + (n as i64) / 4);
        let event = world.create(event).await.unwrap();
        world.publish(&event.id).await.unwrap();
    }
}

async fn pages_join_without_gaps_or_repeats(world: World) {
    publish_many(&world, 11).await;
    let everything = titles(&world, &world.customer, Default::default()).await;
    assert_eq!(everything, (0..11).map(|n| format!("Event {n}")).collect::<Vec<_>>());

    for page_size in [1, 3, 4, 11] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = proto::SearchEventsRequest { page_size, page_token, ..Default::default() };
            let page = search(&world, &world.customer, request).await.unwrap();
            assert_eq!(page.events.len(), page.tokens.len());
            seen.extend(page.events.into_iter().map(|event| event.title));
            page_token = page.tokens.last().unwrap().clone();
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, everything, "pages of {page_size}");
    }
}

async fn text_finds_words_of_event_and_venue_and_no_syntax_breaks_it(world: World) {
    let plan = world.theatre().await;
    let event = proto::NewEvent {
        description: "A tragedy about O'Neill's \"ghost\".".into(),
        performers: vec!["Léa Ünlü".into()],
        ..world.event_on(&plan, "Der Prinz von Dänemark", 100)
    };
    let event = world.create(event).await.unwrap();
    world.publish(&event.id).await.unwrap();
    let found = async |words: &str| titles(&world, &world.customer, text(words)).await.len();

    for words in
        ["dänemark", "PRINZ dän", "tragedy ghost", "o'neill", "ünl", "kharkiv theatre", "Der-Prinz", "  prinz  "]
    {
        assert_eq!(found(words).await, 1, "{words:?}");
    }
    for words in ["hamlet", "prin dänemark", "prinz hamlet", "\"", "*", "!!!", "' OR 1=1 --", "NEAR(a b)", "words:x"] {
        assert_eq!(found(words).await, 0, "{words:?}");
    }
    for words in
        ["prinz\"", "prinz*", "\"prinz", "prinz:*", "^prinz", "-prinz", "prinz & von | der", "(prinz", "prinz'); --"]
    {
        let _ = found(words).await;
    }
    assert_eq!(
        refusal(
            search(&world, &world.customer, proto::SearchEventsRequest { page_size: 1, ..text(&"x".repeat(201)) })
                .await
        )
        .2,
        "text"
    );

    let title = Some("Hamlet".to_owned());
    let (event_id, expected_version) = (event.id, event.version + 1);
    world.update(proto::UpdateEventRequest { event_id, expected_version, title, ..Default::default() }).await.unwrap();
    assert_eq!((found("prinz").await, found("hamlet").await), (0, 1), "words follow the event");
}

async fn filters_narrow_down(world: World) {
    let plan = world.theatre().await;
    let elsewhere = proto::ImportSeatingPlanHeader {
        venue: Some(proto::Venue { city: "Kyiv".into(), ..venue_named("Club") }),
        ..header("Club")
    };
    let club = world.import(elsewhere, &theatre_file()).await.unwrap().plan.unwrap();
    let play = proto::NewEvent { category: "Theatre".into(), ..world.event_on(&plan, "Play", 100) };
    let gig = proto::NewEvent {
        category: "Concert".into(),
        prices: vec![price("A", 900), price("B", 800)],
        ..world.event_on(&club, "Gig", 200)
    };
    for event in [play, gig] {
        let event = world.create(event).await.unwrap();
        world.publish(&event.id).await.unwrap();
    }
    let base = proto::SearchEventsRequest::default;
    let cases = [
        (vec!["Play", "Gig"], base()),
        (vec!["Play"], proto::SearchEventsRequest { category: "THEATRE".into(), ..base() }),
        (vec!["Gig"], proto::SearchEventsRequest { city: "kyiv".into(), ..base() }),
        (vec!["Gig"], proto::SearchEventsRequest { from: world.at(101), ..base() }),
        (vec!["Play", "Gig"], proto::SearchEventsRequest { from: world.at(100), ..base() }),
        (vec!["Play"], proto::SearchEventsRequest { to: world.at(200), ..base() }),
        (vec!["Gig"], proto::SearchEventsRequest { max_price: Some(1_999), ..base() }),
        (vec!["Play"], proto::SearchEventsRequest { min_price: Some(901), ..base() }),
        (vec!["Play"], proto::SearchEventsRequest { min_price: Some(2_000), max_price: Some(2_000), ..base() }),
        (vec![], proto::SearchEventsRequest { category: "Theatre".into(), city: "Kyiv".into(), ..base() }),
    ];
    for (expected, request) in cases {
        assert_eq!(titles(&world, &world.customer, request.clone()).await, expected, "{request:?}");
    }
}

async fn only_organisers_find_what_is_not_on_offer(world: World) {
    let plan = world.theatre().await;
    let mut ids = Vec::new();
    for (title, hours) in [("Over", 10), ("Draft", 100), ("On sale", 101), ("Called off", 102)] {
        ids.push(world.create(world.event_on(&plan, title, hours)).await.unwrap().id);
    }
    for n in [0, 2, 3] {
        world.publish(&ids[n]).await.unwrap();
    }
    world.cancel(&ids[3]).await.unwrap();
    world.pass_until(20);
    let with = |status: proto::EventStatus| proto::SearchEventsRequest { status: status.into(), ..Default::default() };

    for caller in [&world.customer, &world.service] {
        assert_eq!(titles(&world, caller, Default::default()).await, ["Over", "On sale"]);
        assert_eq!(titles(&world, caller, with(proto::EventStatus::Published)).await, ["On sale"]);
        assert_eq!(titles(&world, caller, with(proto::EventStatus::Completed)).await, ["Over"]);
        assert!(titles(&world, caller, with(proto::EventStatus::Draft)).await.is_empty());
        assert!(titles(&world, caller, with(proto::EventStatus::Cancelled)).await.is_empty());
    }
    assert_eq!(titles(&world, &world.admin, Default::default()).await, ["Over", "Draft", "On sale", "Called off"]);
    assert_eq!(titles(&world, &world.admin, with(proto::EventStatus::Draft)).await, ["Draft"]);
    assert_eq!(titles(&world, &world.admin, with(proto::EventStatus::Cancelled)).await, ["Called off"]);

    let request = |caller: &Caller| caller.request(proto::BatchGetEventsRequest { event_ids: ids.clone() });
    let seen = async |caller: &Caller| {
        world.catalog.clone().batch_get_events(request(caller)).await.unwrap().into_inner().events.len()
    };
    assert_eq!((seen(&world.customer).await, seen(&world.admin).await), (3, 4));
}

async fn bad_pages_are_refused(world: World) {
    let of = |page_size, page_token: &str| proto::SearchEventsRequest {
        page_size,
        page_token: page_token.into(),
        ..Default::default()
    };
    for (field, request) in [
        ("page_size", of(0, "")),
        ("page_size", of(101, "")),
        ("page_token", of(1, "garbage")),
        ("page_token", of(1, "WzFd")),
    ] {
        let refused = refusal(search(&world, &world.customer, request).await);
        assert_eq!(refused, (Code::InvalidArgument, "INVALID_INPUT".into(), field.into()));
    }
    let unknown_status = proto::SearchEventsRequest { status: 99, ..of(1, "") };
    assert_eq!(refusal(search(&world, &world.customer, unknown_status).await).2, "status");
    let nul = || "Ky\0iv".to_owned();
    for (field, request) in [
        ("category", proto::SearchEventsRequest { category: nul(), ..of(1, "") }),
        ("city", proto::SearchEventsRequest { city: nul(), ..of(1, "") }),
    ] {
        let refused = refusal(search(&world, &world.customer, request).await);
        assert_eq!(refused, (Code::InvalidArgument, "INVALID_INPUT".into(), field.into()));
    }
    search(&world, &world.customer, proto::SearchEventsRequest { text: nul(), ..of(1, "") }).await.unwrap();
}
