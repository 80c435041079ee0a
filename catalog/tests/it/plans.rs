//! Seating plans: in whole or not at all, and out again as they came.

use std::collections::HashSet;
use std::time::Instant;

use common::error::Refused;
use common::proto::catalog::v1 as proto;
use proto::import_seating_plan_request::Part;
use tonic::Code;

use crate::on_both_databases;
use crate::world::{World, header, price, refusal, shared_plan, theatre_file, value, venue_named};

on_both_databases!(
    a_real_stadium_is_imported_put_on_sale_and_exported_unchanged,
    a_plan_whose_seats_share_guids_is_refused_and_leaves_nothing,
    an_event_with_an_unpriced_category_refuses_the_whole_import,
    a_venue_is_found_by_name_and_plans_of_one_name_count_versions,
    a_plan_tells_zones_rows_and_labels,
    areas_of_an_import_are_priced_by_name,
    an_import_that_breaks_the_protocol_is_refused,
    venues_are_unique_by_name_and_listed_in_order,
);

const STADIUM_SEATS: usize = 23_802;

fn stadium_event(world: &World) -> proto::NewEvent {
    let prices =
        ["West", "South", "East", "North"].iter().zip(1..).map(|(t, n)| price(&format!("Tribune {t}"), n * 1_000));
    proto::NewEvent {
        title: "Derby".into(),
        starts_at: world.at(100),
        currency: "UAH".into(),
        prices: prices.collect(),
        ..Default::default()
    }
}

async fn a_real_stadium_is_imported_put_on_sale_and_exported_unchanged(world: World) {
    let file = shared_plan("metalist-stadium.json");
    let header = proto::ImportSeatingPlanHeader {
        accessible_categories: vec!["Tribune East".into()],
        event: Some(stadium_event(&world)),
        ..header("Metalist Stadium")
    };

    let started = Instant::now();
    let imported = world.import(header, &file).await.unwrap();
    println!("import of {STADIUM_SEATS} seats: {:?}", started.elapsed());

    let (plan, event) = (imported.plan.unwrap(), imported.event.unwrap());
    assert_eq!((plan.seat_count as usize, plan.categories.len()), (STADIUM_SEATS, 4));
    assert_eq!(event.status(), proto::EventStatus::Published);
    assert_eq!(event.capacity as usize, STADIUM_SEATS);
    assert_eq!((event.price_min.unwrap().amount_minor, event.price_max.unwrap().amount_minor), (1_000, 4_000));
    assert_eq!(*world.booking.asked.lock().unwrap(), [(event.id.clone(), 1)]);

    let (_, rows) = world.plan(&plan.id).await.unwrap();
    let seats: Vec<_> = rows.iter().flat_map(|row| &row.seats).collect();
    assert_eq!(seats.iter().map(|seat| &seat.id).collect::<HashSet<_>>().len(), STADIUM_SEATS);
    assert_eq!(rows.iter().map(|row| row.zone_index).collect::<HashSet<_>>().len(), 49);
    assert_eq!((rows[0].name.as_str(), seats[0].label.as_str()), ("00", "Tribune West, sector 1, Row 00, Seat 1"));
    assert!(seats.iter().all(|seat| seat.accessible == (seat.category == "Tribune East")));

    let (_, offered) = world.offer(&event.id, 1).await.unwrap();
    assert!(offered.iter().map(|seat| &seat.seat_id).eq(seats.iter().map(|seat| &seat.id)));
    assert_eq!(offered[0].price_minor, 1_000);

    assert_eq!(value(&export(&world, &plan.id).await), value(&file));
}

async fn export(world: &World, id: &str) -> Vec<u8> {
    let request = world.admin.request(proto::ExportSeatingPlanRequest { seating_plan_id: id.into() });
    let mut stream = world.catalog.clone().export_seating_plan(request).await.unwrap().into_inner();
    let mut file = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        file.extend_from_slice(&message.chunk);
    }
    file
}

async fn a_plan_whose_seats_share_guids_is_refused_and_leaves_nothing(world: World) {
    let file = shared_plan("metalist-stadium-duplicate-row.json");

    let status = world.import(header("Metalist Stadium"), &file).await.unwrap_err();

    assert_eq!((status.code(), Refused::of(&status).field.as_deref()), (Code::InvalidArgument, Some("plan")));
    for part in ["zone \"Tribune West, sector 2\"", "row \"35\"", "35 seats", "west-2-35-1,", "west-2-35-35"] {
        assert!(status.message().contains(part), "{part} is missing in {}", status.message());
    }
    assert_nothing_stored(&world).await;
}

async fn an_event_with_an_unpriced_category_refuses_the_whole_import(world: World) {
    let mut event = stadium_event(&world);
    event.prices.pop();
    let header = proto::ImportSeatingPlanHeader { event: Some(event), ..header("Metalist Stadium") };

    let status = world.import(header, &shared_plan("metalist-stadium.json")).await.unwrap_err();

    assert_eq!(Refused::of(&status).field.as_deref(), Some("event.prices"));
    assert_eq!(status.message(), "category \"Tribune North\" has no price");
    assert_nothing_stored(&world).await;
}

async fn assert_nothing_stored(world: &World) {
    for table in ["venues", "seating_plans", "seats", "plan_files", "events", "offers", "outbox", "history"] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
}

async fn a_venue_is_found_by_name_and_plans_of_one_name_count_versions(world: World) {
    let first = world.import(header("Hall"), &theatre_file()).await.unwrap();
    let second = world.import(header(" Hall "), &theatre_file()).await.unwrap();
    let venue_id = first.venue.unwrap().id;
    let by_id =
        proto::ImportSeatingPlanHeader { venue_id: venue_id.clone(), name: "Other".into(), ..Default::default() };
    let third = world.import(by_id, &theatre_file()).await.unwrap();

    assert_eq!(second.venue.unwrap().id, venue_id);
    let plans = [first.plan.unwrap(), second.plan.unwrap(), third.plan.unwrap()];
    assert_eq!(plans.iter().map(|plan| plan.version).collect::<Vec<_>>(), [1, 2, 1]);

    let list = async |page_token: &str| {
        let (venue_id, page_token) = (venue_id.clone(), page_token.to_owned());
        let request = world.service.request(proto::ListSeatingPlansRequest { venue_id, page_size: 2, page_token });
        world.catalog.clone().list_seating_plans(request).await.unwrap().into_inner()
    };
    let page = list("").await;
    let rest = list(page.tokens.last().unwrap()).await;
    assert_eq!((page.plans.len(), page.has_more, rest.has_more), (2, true, false));
    let listed: Vec<_> = page.plans.iter().chain(&rest.plans).collect();
    assert!(listed.into_iter().eq(plans.iter().rev()));
}

async fn a_plan_tells_zones_rows_and_labels(world: World) {
    let plan = world.theatre().await;
    let twin = world.theatre().await;

    let (summary, rows) = world.plan(&plan.id).await.unwrap();

    assert_eq!(summary, plan);
    assert_eq!((summary.areas[0].name.as_str(), summary.areas[0].capacity), ("Floor", 50));
    assert_eq!(
        rows.iter().map(|row| (row.name.as_str(), row.seats.len())).collect::<Vec<_>>(),
        [("00", 3), ("-2", 2), ("empty", 0)]
    );
    let seat = &rows[1].seats[0];
    assert_eq!((seat.label.as_str(), seat.number.as_str()), ("Stalls, Back, Chair 1", "1"));
    assert_eq!((seat.x, seat.y, seat.category.as_str()), (11.5, 22.0, "B"));

    let (_, twins) = world.plan(&twin.id).await.unwrap();
    assert_ne!(twins[0].seats[0].id, rows[0].seats[0].id, "ids come from us, not from seat_guid");
    assert_eq!(refusal(world.plan("no id").await), (Code::NotFound, "NOT_FOUND".into(), String::new()));
    assert_eq!(value(&export(&world, &plan.id).await), value(&theatre_file()));
}

async fn areas_of_an_import_are_priced_by_name(world: World) {
    let event = proto::NewEvent {
        prices: vec![price("A", 10), price("B", 20), price("Floor", 5)],
        currency: "JPY".into(),
        ..stadium_event(&world)
    };
    let areas = vec![proto::NewArea { name: "Floor".into(), capacity: 50 }];
    let header = proto::ImportSeatingPlanHeader { areas, event: Some(event), ..header("Club") };

    let event = world.import(header, &theatre_file()).await.unwrap().event.unwrap();

    let (terms, _) = world.offer(&event.id, 0).await.unwrap();
    assert_eq!((terms.areas[0].name.as_str(), terms.areas[0].capacity, terms.areas[0].price_minor), ("Floor", 50, 5));
    assert_eq!((event.capacity, event.price_min.unwrap().amount_minor), (55, 5));
}

async fn an_import_that_breaks_the_protocol_is_refused(world: World) {
    let send = async |messages: Vec<proto::ImportSeatingPlanRequest>| {
        let request = world.admin.request(tokio_stream::iter(messages));
        refusal(world.catalog.clone().import_seating_plan(request).await).2
    };
    let of = |part| proto::ImportSeatingPlanRequest { part: Some(part) };
    let chunk = |size: usize| of(Part::Chunk(vec![b' '; size].into()));
    let good = || of(Part::Header(header("Hall")));

    assert_eq!(send(vec![]).await, "header");
    assert_eq!(send(vec![chunk(1)]).await, "header");
    assert_eq!(send(vec![good(), good()]).await, "chunk");
    assert_eq!(send(vec![good(), chunk(256 * 1024 + 1)]).await, "chunk");
    assert_eq!(send(vec![good()]).await, "plan");
    assert_eq!(send(vec![of(Part::Header(Default::default())), chunk(1)]).await, "venue_id");
    let unknown = proto::ImportSeatingPlanHeader { venue_id: "no id".into(), ..Default::default() };
    assert_eq!(refusal(world.import(unknown, &theatre_file()).await).0, Code::NotFound);
    let zoneless = proto::Venue { time_zone: "Mars".into(), ..venue_named("Hall") };
    let zoneless = proto::ImportSeatingPlanHeader { venue: Some(zoneless), ..Default::default() };
    assert_eq!(refusal(world.import(zoneless, &theatre_file()).await).2, "venue.time_zone");
    assert_nothing_stored(&world).await;
}

async fn venues_are_unique_by_name_and_listed_in_order(world: World) {
    let create = async |name: &str| {
        let request =
            world.admin.request(proto::CreateVenueRequest { venue: Some(venue_named(name)), ..Default::default() });
        world.catalog.clone().create_venue(request).await.map(|response| response.into_inner().venue.unwrap())
    };
    for name in ["b", "Ärger", "a", "B", "c"] {
        create(name).await.unwrap();
    }
    assert_eq!(refusal(create("a").await), (Code::InvalidArgument, "INVALID_INPUT".into(), "name".into()));

    let (mut names, mut ids, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let request = world.service.request(proto::ListVenuesRequest { page_size: 2, page_token });
        let page = world.catalog.clone().list_venues(request).await.unwrap().into_inner();
        names.extend(page.venues.iter().map(|venue| venue.name.clone()));
        ids.extend(page.venues.into_iter().map(|venue| venue.id));
        page_token = page.tokens.last().unwrap().clone();
        if !page.has_more {
            break;
        }
    }
    assert_eq!(names, ["B", "a", "b", "c", "Ärger"]);

    let asked = vec![ids[0].clone(), ids[0].clone(), ids[3].clone(), "no id".into()];
    let request = world.customer.request(proto::BatchGetVenuesRequest { venue_ids: asked });
    assert_eq!(world.catalog.clone().batch_get_venues(request).await.unwrap().into_inner().venues.len(), 2);
}
