//! Check-in, ticket keys and histories over gRPC.

use common::auth::Role;
use common::error::Refused;
use common::ids::{BookingId, EventId, SeatId};
use common::proto::booking::v1::*;
use tonic::{Code, Status};

use super::{Served, expected, reason, wish};

async fn scan(served: &Served, token: &str, gate: &str) -> Result<CheckInResponse, Status> {
    let request = CheckInRequest { token: token.to_owned(), gate: gate.to_owned(), ..CheckInRequest::default() };
    let answer = served.client().check_in(served.caller("door", Role::Admin).request(request)).await?;
    Ok(answer.into_inner())
}

#[tokio::test]
async fn a_ticket_is_checked_in_once_and_then_neither_again_nor_cancelled() {
    let served = Served::start().await;
    let sale = served.world.sale(1, &[]).await;
    let id = served.world.confirmed(&sale, "alice", &[0], &[]).await.to_string();
    let confirmed = served.get(served.customer("alice"), &id).await.unwrap();
    let token = confirmed.tickets[0].token.clone();

    let admitted = scan(&served, &token, "North").await.unwrap();
    let again = scan(&served, &token, "South").await.unwrap_err();
    let cancel = CancelBookingRequest { booking_id: id.clone(), request_id: "k".into() };
    let cancelled = served.client().cancel_booking(served.customer("alice").request(cancel)).await;
    let shown = served.get(served.customer("alice"), &id).await.unwrap();

    let ticket = admitted.ticket.unwrap();
    assert_eq!((admitted.booking_id, admitted.event_id), (id, sale.event.to_string()));
    assert_eq!(admitted.item.as_ref(), Some(&confirmed.items[0]));
    assert_eq!((ticket.used_gate.as_str(), ticket.used_at.is_some()), ("North", true));
    assert_eq!(shown.tickets, [ticket]);
    let refused = Refused::of(&again);
    assert_eq!((refused.reason.as_str(), refused.metadata["used_gate"].as_str()), ("ALREADY_CHECKED_IN", "North"));
    assert!(again.message().contains(&refused.metadata["used_at"]));
    assert_eq!(reason(Err::<(), _>(again)), expected(Code::FailedPrecondition, "ALREADY_CHECKED_IN", "token"));
    assert_eq!(reason(cancelled), expected(Code::FailedPrecondition, "ALREADY_CHECKED_IN", "booking_id"));
}

#[tokio::test]
async fn forged_and_void_tickets_and_nameless_gates_are_refused() {
    let served = Served::start().await;
    let sale = served.world.sale(1, &[]).await;
    let id = served.world.confirmed(&sale, "alice", &[0], &[]).await;
    let token = served.world.find(id).await.tickets[0].token.clone();

    let nameless = scan(&served, &token, "").await;
    let forged = scan(&served, "evt1.x.y", "North").await;
    served.world.cancel("alice", id).await.unwrap();
    let void = scan(&served, &token, "North").await;

    assert_eq!(reason(nameless), expected(Code::InvalidArgument, "INVALID_INPUT", "gate"));
    assert_eq!(reason(forged), expected(Code::NotFound, "NOT_FOUND", "token"));
    assert_eq!(reason(void), expected(Code::FailedPrecondition, "INVALID_STATE", "token"));
}

#[tokio::test]
async fn the_public_keys_are_told_to_every_role() {
    let served = Served::start().await;

    for role in [Role::Customer, Role::Admin, Role::Service] {
        let request = served.caller("anyone", role).request(ListTicketKeysRequest {});
        let keys = served.client().list_ticket_keys(request).await.unwrap().into_inner().keys;
        assert_eq!((keys.len(), keys[0].key_id, keys[0].public_key.len()), (1, 1, 32));
    }
}

#[tokio::test]
async fn histories_come_in_pages() {
    let served = Served::start().await;
    let sale = served.world.sale(2, &[]).await;
    let held = served.hold("alice", wish(&sale, &[0], 0, "k1")).await.unwrap();
    served.world.release("alice", BookingId::parse(&held.id).unwrap()).await.unwrap();
    let admin = || served.caller("office", Role::Admin);
    let of_booking = async |booking_id: &str, page_size, page_token: &str| {
        let (booking_id, page_token) = (booking_id.to_owned(), page_token.to_owned());
        let request = ListBookingHistoryRequest { booking_id, page_size, page_token };
        served.client().list_booking_history(admin().request(request)).await.map(tonic::Response::into_inner)
    };
    let of_seat = async |event_id: String, seat_id: String| {
        let request = ListSeatHistoryRequest { event_id, seat_id, page_size: 10, page_token: String::new() };
        served.client().list_seat_history(admin().request(request)).await.map(tonic::Response::into_inner)
    };

    let first = of_booking(&held.id, 1, "").await.unwrap();
    let second = of_booking(&held.id, 1, &first.tokens[0]).await.unwrap();
    let end = of_booking(&held.id, 1, &second.tokens[0]).await.unwrap();
    let seat = of_seat(sale.event.to_string(), sale.seats[0].to_string()).await.unwrap();
    let never_had = of_seat(sale.event.to_string(), sale.seats[1].to_string()).await.unwrap();

    assert_eq!((first.entries[0].from(), first.entries[0].to()), (BookingState::Unspecified, BookingState::Held));
    assert_eq!((second.entries[0].from(), second.entries[0].to()), (BookingState::Held, BookingState::Released));
    assert_eq!((first.has_more, second.has_more, end.entries.len()), (true, false, 0));
    assert_eq!((second.entries[0].cause.as_str(), second.entries[0].actor.as_str()), ("release", "alice"));
    assert_eq!(seat.entries, [first.entries, second.entries].concat());
    assert!(never_had.entries.is_empty());
    for (refused, field) in [
        (of_seat(EventId::new().to_string(), sale.seats[0].to_string()).await, "seat_id"),
        (of_seat(sale.event.to_string(), SeatId::new().to_string()).await, "seat_id"),
        (of_seat(sale.event.to_string(), "seat".into()).await, "seat_id"),
        (of_seat("event".into(), sale.seats[0].to_string()).await, "event_id"),
    ] {
        assert_eq!(reason(refused), expected(Code::NotFound, "NOT_FOUND", field));
    }
    for id in [BookingId::new().to_string(), "booking".into()] {
        assert_eq!(reason(of_booking(&id, 1, "").await), expected(Code::NotFound, "NOT_FOUND", "booking_id"));
    }
    let bad = of_booking(&held.id, 1, "garbage").await;
    assert_eq!(reason(bad), expected(Code::InvalidArgument, "INVALID_INPUT", "page_token"));
    let bad = of_booking(&held.id, 0, "").await;
    assert_eq!(reason(bad), expected(Code::InvalidArgument, "INVALID_INPUT", "page_size"));
}
