//! Check-in on real databases: once, whoever comes at the same time, and what it means for cancelling.

use std::sync::Arc;

use booking::application::check_in::{Scan, check_in};
use booking::application::command;
use booking::domain::ticket::TicketClaims;
use booking::infrastructure::store::{Admitted, CheckInError, CheckedIn, HoldOutcome, TicketUse, TransitionError};
use booking::infrastructure::wire;
use common::ids::{BookingId, TicketId};
use common::proto::catalog::v1::EventCancelled;
use common::testing::TestDb;
use prost::Message;
use tokio::task::JoinSet;

use crate::world::{SECOND, World, admin, customer_of, encode};

common::on_both_databases!(
    a_ticket_is_used_once_and_the_second_scan_names_the_first,
    of_many_scans_at_once_exactly_one_wins,
    a_void_ticket_admits_nobody,
    a_ticket_that_was_never_issued_is_unknown,
    a_used_ticket_keeps_its_customer_from_cancelling,
    scanning_and_cancelling_at_once_never_both_succeed,
    cancelled_events_and_failed_captures_void_used_tickets_too,
    the_seat_of_a_used_ticket_is_not_sold_again_after_a_failed_capture,
);

async fn tokens(world: &World, booking: BookingId) -> Vec<String> {
    world.find(booking).await.tickets.into_iter().map(|ticket| ticket.token).collect()
}

async fn scan(world: &World, token: &str, gate: &str) -> Result<CheckedIn, CheckInError> {
    let scan = Scan { token, gate, key: None, answer: &|used| wire::checked_in(used).encode_to_vec() };
    match check_in(&world.store, &admin("door"), scan).await? {
        Admitted::Now(used) => Ok(*used),
        Admitted::Before(_) => panic!("a scan without a key was answered before"),
    }
}

fn first_use(refused: Result<CheckedIn, CheckInError>) -> TicketUse {
    match refused {
        Err(CheckInError::AlreadyCheckedIn(used)) => used,
        other => panic!("expected ALREADY_CHECKED_IN, not {other:?}"),
    }
}

async fn a_ticket_is_used_once_and_the_second_scan_names_the_first(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[2]).await;
    let booking = world.confirmed(&sale, "alice", &[1], &[1]).await;
    let tokens = tokens(&world, booking).await;
    let before = world.now().await;

    let used = scan(&world, &tokens[0], "North").await.unwrap();
    world.pass(SECOND * 60);
    let refused = scan(&world, &tokens[0], "South").await;
    let message = refused.as_ref().unwrap_err().to_string();
    let place = scan(&world, &tokens[1], "South").await.unwrap();

    let first = used.ticket.used.clone().unwrap();
    assert_eq!((used.booking_id, used.event_id, used.item.seat_id), (booking, sale.event, Some(sale.seats[1])));
    assert_eq!((first.gate.as_str(), used.ticket.void), ("North", false));
    assert!(first.at >= before && first.at <= before + SECOND * 30);
    assert_eq!(first_use(refused), first);
    assert!(message.contains("gate North") && message.contains(&first.at.format("%Y-%m-%dT%H:%M:%SZ").to_string()));
    assert_eq!(place.item.area_id, Some(sale.areas[0].0));
    let shown = world.find(booking).await.tickets.into_iter().map(|ticket| ticket.used.unwrap().gate);
    assert_eq!(shown.collect::<Vec<_>>(), ["North", "South"]);
    world.audit().await;
}

async fn of_many_scans_at_once_exactly_one_wins(db: TestDb) {
    let world = Arc::new(World::crowded(db, 20).await);
    let sale = world.sale(1, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    let token = tokens(&world, booking).await.remove(0);

    let mut scans = JoinSet::new();
    for gate in 0..20 {
        let (world, token) = (world.clone(), token.clone());
        scans.spawn(async move { scan(&world, &token, &format!("gate {gate}")).await });
    }
    let (won, lost): (Vec<_>, Vec<_>) = scans.join_all().await.into_iter().partition(Result::is_ok);

    assert_eq!((won.len(), lost.len()), (1, 19));
    let winner = won.into_iter().next().unwrap().unwrap().ticket.used.unwrap();
    for refused in lost {
        assert_eq!(first_use(refused), winner);
    }
}

async fn a_void_ticket_admits_nobody(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    let token = tokens(&world, booking).await.remove(0);
    world.cancel("alice", booking).await.unwrap();

    let refused = scan(&world, &token, "North").await;

    assert!(matches!(refused, Err(CheckInError::Void)), "{refused:?}");
    assert!(world.find(booking).await.tickets[0].used.is_none());
}

async fn a_ticket_that_was_never_issued_is_unknown(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0], &[]).await;
    let ticket = world.find(booking).await.tickets.remove(0);
    // Signed with the right key, as only a thief of the database could.
    let key = booking::infrastructure::ticket_key::TicketKey::load(&world.db).await.unwrap();
    let claims = TicketClaims {
        ticket_id: TicketId::new(),
        event_id: sale.event,
        place: sale.seats[0].0,
        version: 1,
        key_id: key.key_id(),
    };
    let never_issued = key.sign(&claims);
    let other_version = key.sign(&TicketClaims { ticket_id: ticket.id, version: 2, ..claims });

    for token in [never_issued.as_str(), &other_version, "evt1.forged.token", ""] {
        let refused = scan(&world, token, "North").await;
        assert!(matches!(refused, Err(CheckInError::Unknown)), "{token}: {refused:?}");
    }
    for gate in ["", " ", "a\nb", &"x".repeat(65)] {
        let refused = scan(&world, &ticket.token, gate).await;
        assert!(matches!(refused, Err(CheckInError::InvalidGate)), "{gate}: {refused:?}");
    }
    assert!(scan(&world, &ticket.token, &"x".repeat(64)).await.is_ok());
}

async fn a_used_ticket_keeps_its_customer_from_cancelling(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[]).await;
    let token = tokens(&world, booking).await.remove(1);
    scan(&world, &token, "North").await.unwrap();
    let facts = world.facts(booking).await;

    let refused = world.cancel("alice", booking).await;

    let Err(TransitionError::AlreadyCheckedIn(used)) = refused else { panic!("{refused:?}") };
    assert_eq!(used.gate, "North");
    assert_eq!(world.state(booking).await, "CONFIRMED");
    assert_eq!(world.facts(booking).await, facts);
    assert!(world.find(booking).await.tickets.iter().all(|ticket| !ticket.void));
    world.audit().await;
}

async fn scanning_and_cancelling_at_once_never_both_succeed(db: TestDb) {
    let world = Arc::new(World::crowded(db, 8).await);
    let sale = world.sale(16, &[]).await;
    for at in 0..8 {
        let booking = world.confirmed(&sale, "alice", &[2 * at, 2 * at + 1], &[]).await;
        let tokens = tokens(&world, booking).await;
        let key = world.key("alice", "cancel");
        let cancelling = world.clone();
        let cancel = async move {
            command::cancel(&cancelling.store, &customer_of("alice"), booking, &key, &encode).await.is_ok()
        };

        let (first, second, cancelled) =
            tokio::join!(scan(&world, &tokens[0], "North"), scan(&world, &tokens[1], "South"), cancel);

        assert_ne!(first.is_ok() || second.is_ok(), cancelled, "{first:?}, {second:?}");
    }
    world.audit().await;
}

async fn cancelled_events_and_failed_captures_void_used_tickets_too(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let uncaptured = world.confirmed(&sale, "alice", &[0], &[]).await;
    let called_off = world.confirmed(&sale, "bob", &[1], &[]).await;
    for booking in [uncaptured, called_off] {
        let token = tokens(&world, booking).await.remove(0);
        scan(&world, &token, "North").await.unwrap();
    }

    world.capture_failed(uncaptured, 1).await;
    world
        .catalog_told(sale.event, &EventCancelled { event_id: sale.event.to_string(), offer_version: 1 })
        .await
        .unwrap();
    world.sweep().await;

    for booking in [uncaptured, called_off] {
        let stored = world.find(booking).await;
        assert_eq!(stored.booking.state.name(), "CANCELLED");
        assert!(stored.tickets[0].void && stored.tickets[0].used.is_some());
        let again = scan(&world, &stored.tickets[0].token, "North").await;
        assert!(matches!(again, Err(CheckInError::Void)), "{again:?}");
    }
    world.audit().await;
}

async fn the_seat_of_a_used_ticket_is_not_sold_again_after_a_failed_capture(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[3]).await;
    let booking = world.confirmed(&sale, "alice", &[0, 1], &[3]).await;
    for item in [1, 2, 4] {
        world.check_in(booking, item).await.unwrap();
    }

    world.capture_failed(booking, 1).await;

    assert_eq!(world.state(booking).await, "CANCELLED");
    assert!(world.find(booking).await.tickets.iter().all(|ticket| ticket.void));
    assert!(world.claim(&sale, 0).await.is_none());
    assert_eq!(world.claim(&sale, 1).await.unwrap().1, "sold");
    assert_eq!(world.taken(&sale, 0).await, 2);
    let places = world.store.availabilities(&[sale.event]).await.unwrap()[&sale.event];
    assert_eq!((places.held, places.sold, places.total), (0, 3, 5));
    assert!(matches!(world.hold(&sale, "bob", &[1], &[]).await, HoldOutcome::SeatsTaken(_)));
    assert!(matches!(world.hold(&sale, "bob", &[], &[2]).await, HoldOutcome::SoldOut(_)));
    world.confirmed(&sale, "bob", &[0], &[1]).await;
    world.sweep().await;
    world.audit().await;
}
