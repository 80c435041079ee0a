//! Who may do what, and see what.

use common::proto::catalog::v1 as proto;
use common::proto::common::v1::ListFactsRequest;
use tonic::{Code, Request};

use crate::on_both_databases;
use crate::world::{World, refusal};

on_both_databases!(
    customers_read_and_never_write,
    without_a_token_nothing_is_answered,
    drafts_are_invisible_to_customers,
    facts_are_for_services,
);

async fn customers_read_and_never_write(world: World) {
    let event = world.on_sale().await;
    let event_id = event.id.clone();
    let customer = &world.customer;
    let client = || world.catalog.clone();

    let codes = [
        client().create_venue(customer.request(proto::CreateVenueRequest::default())).await.map(drop),
        client().list_venues(customer.request(proto::ListVenuesRequest::default())).await.map(drop),
        client().list_seating_plans(customer.request(proto::ListSeatingPlansRequest::default())).await.map(drop),
        client().import_seating_plan(customer.request(tokio_stream::iter([]))).await.map(drop),
        client().export_seating_plan(customer.request(proto::ExportSeatingPlanRequest::default())).await.map(drop),
        client().create_event(customer.request(proto::CreateEventRequest::default())).await.map(drop),
        client().update_event(customer.request(proto::UpdateEventRequest::default())).await.map(drop),
        client().set_prices(customer.request(proto::SetPricesRequest::default())).await.map(drop),
        client()
            .publish_event(
                customer.request(proto::PublishEventRequest { event_id: event_id.clone(), ..Default::default() }),
            )
            .await
            .map(drop),
        client()
            .cancel_event(
                customer.request(proto::CancelEventRequest { event_id: event_id.clone(), ..Default::default() }),
            )
            .await
            .map(drop),
        client().stream_offer(customer.request(proto::StreamOfferRequest { event_id, version: 1 })).await.map(drop),
        world.facts.clone().list_facts(customer.request(ListFactsRequest::default())).await.map(drop),
    ];
    for refused in codes {
        assert_eq!(refusal(refused), (Code::PermissionDenied, "FORBIDDEN".into(), String::new()));
    }
    let publish =
        world.service.request(proto::PublishEventRequest { event_id: event.id.clone(), ..Default::default() });
    assert_eq!(refusal(client().publish_event(publish).await).0, Code::PermissionDenied, "services do not publish");

    assert_eq!(world.get(customer, &event.id).await.unwrap(), event);
    assert_eq!(world.plan(&event.seating_plan_id).await.unwrap().0.seat_count, 5);
    let venue_id = event.venue.unwrap().id;
    assert!(client().get_venue(customer.request(proto::GetVenueRequest { venue_id })).await.is_ok());
}

async fn without_a_token_nothing_is_answered(world: World) {
    let search = Request::new(proto::SearchEventsRequest { page_size: 1, ..Default::default() });
    let publish = Request::new(proto::PublishEventRequest::default());

    let refusals = [
        world.catalog.clone().search_events(search).await.map(drop),
        world.catalog.clone().publish_event(publish).await.map(drop),
    ];

    for refused in refusals {
        assert_eq!(refusal(refused), (Code::Unauthenticated, "UNAUTHENTICATED".into(), String::new()));
    }
}

async fn drafts_are_invisible_to_customers(world: World) {
    let plan = world.theatre().await;
    let draft = world.create(world.event_on(&plan, "Secret", 100)).await.unwrap();

    let hidden = refusal(world.get(&world.customer, &draft.id).await);

    assert_eq!(hidden, refusal(world.get(&world.customer, "no id").await));
    assert_eq!(hidden.0, Code::NotFound);
    assert_eq!(world.get(&world.service, &draft.id).await.unwrap(), draft);
    world.cancel(&draft.id).await.unwrap();
    assert_eq!(
        refusal(world.get(&world.customer, &draft.id).await).0,
        Code::NotFound,
        "a cancelled draft stays hidden"
    );
}

async fn facts_are_for_services(world: World) {
    let events = [world.on_sale().await, world.on_sale().await];
    let list = async |request: ListFactsRequest| {
        world.facts.clone().list_facts(world.service.request(request)).await.map(tonic::Response::into_inner)
    };

    let all = list(ListFactsRequest { page_size: 1, ..Default::default() }).await.unwrap();
    let after_position = all.last_position;
    let rest = list(ListFactsRequest { page_size: 500, after_position, ..Default::default() }).await.unwrap();

    assert_eq!((all.records.len(), all.has_more, rest.records.len(), rest.has_more), (1, true, 1, false));
    assert_eq!(world.facts(&events[1].id).await.len(), 1);
    assert!(world.facts("no id").await.is_empty());
    assert_eq!(refusal(list(ListFactsRequest::default()).await).2, "page_size");
    let admin = world.admin.request(ListFactsRequest { page_size: 1, ..Default::default() });
    assert_eq!(refusal(world.facts.clone().list_facts(admin).await).0, Code::PermissionDenied);
}
