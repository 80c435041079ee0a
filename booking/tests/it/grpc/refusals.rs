//! What callers are refused, with which codes, reasons, fields and metadata; and request ids, which replay instead.

use common::auth::Role;
use common::error::Refused;
use common::ids::{AreaId, BookingId, EventId, SeatId};
use common::proto::booking::v1::*;
use tonic::Code;

use super::{Served, expected, reason, wish};
use crate::world::HOLD;

#[tokio::test]
async fn anothers_unknown_and_malformed_bookings_get_one_and_the_same_answer() {
    let served = Served::start().await;
    let sale = served.world.sale(1, &[]).await;
    let held = served.hold("alice", wish(&sale, &[0], 0, "k1")).await.unwrap();
    let stranger = BookingId::new().to_string();

    for id in [held.id.as_str(), &stranger, "no id", ""] {
        let refused = served.get(served.customer("mallory"), id).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::NotFound, "no such booking"), "{id}");
        assert_eq!(Refused::of(&refused).reason, "NOT_FOUND");

        let booking_id = id.to_owned();
        let release = ReleaseBookingRequest { booking_id: booking_id.clone(), request_id: "k".into() };
        let released = served.client().release_booking(served.customer("mallory").request(release)).await;
        let cancel = CancelBookingRequest { booking_id, request_id: "k".into() };
        let cancelled = served.client().cancel_booking(served.customer("mallory").request(cancel)).await;
        for refused in [released.map(|_| ()), cancelled.map(|_| ())] {
            assert_eq!(reason(refused), expected(Code::NotFound, "NOT_FOUND", "booking_id"));
        }
        let paid = served.pay("mallory", id, "tok_approve", "k").await;
        assert_eq!(reason(paid), expected(Code::NotFound, "NOT_FOUND", "booking_id"));
    }
    assert!(served.get(served.caller("office", Role::Admin), &held.id).await.is_ok());
    assert!(served.get(served.caller("gateway", Role::Service), &held.id).await.is_ok());
    let by_admin =
        PayBookingRequest { booking_id: held.id.clone(), payment_token: "tok_approve".into(), request_id: "k".into() };
    let paid = served.client().pay_booking(served.caller("office", Role::Admin).request(by_admin)).await;
    assert_eq!(reason(paid).0, Code::NotFound, "nobody pays for another");
}

#[tokio::test]
async fn refused_holds_say_why_with_reason_field_and_metadata() {
    let served = Served::start().await;
    let mut sale = served.world.sale(6, &[3]).await;
    (sale.limit, sale.closed, sale.version) = (4, vec![sale.seats[5]], 2);
    served.world.put(&sale).await;
    served.hold("bob", wish(&sale, &[0, 1], 0, "k")).await.unwrap();
    let hold = async |change: &dyn Fn(&mut HoldSeatsRequest)| {
        let mut request = wish(&sale, &[2], 0, "k");
        change(&mut request);
        served.hold("alice", request).await
    };
    let seat = |at: usize| sale.seats[at].to_string();
    let place = |id: String, quantity| vec![AreaQuantity { area_id: id, quantity }];
    let area = || sale.areas[0].0.to_string();

    let taken = hold(&|r| r.seat_ids = vec![seat(2), seat(1), seat(0)]).await.unwrap_err();
    let refused = Refused::of(&taken);
    assert_eq!((taken.code(), refused.reason.as_str()), (Code::Aborted, "SEATS_TAKEN"));
    assert_eq!(refused.metadata["seat_ids"], format!("{},{}", seat(1), seat(0)));
    assert!([0, 1].into_iter().all(|at| taken.message().contains(&seat(at))), "{}", taken.message());

    for (answer, wanted) in [
        (hold(&|r| r.areas = place(area(), 4)).await, (Code::FailedPrecondition, "LIMIT_EXCEEDED", None)),
        (hold(&|r| r.seat_ids = vec![seat(5)]).await, (Code::FailedPrecondition, "NOT_ON_SALE", Some("seat_ids"))),
        (hold(&|r| r.seat_ids.clear()).await, (Code::InvalidArgument, "INVALID_INPUT", Some("seat_ids"))),
        (hold(&|r| r.seat_ids.push(seat(2))).await, (Code::InvalidArgument, "INVALID_INPUT", Some("seat_ids"))),
        (hold(&|r| r.areas = place(area(), 0)).await, (Code::InvalidArgument, "INVALID_INPUT", Some("areas"))),
        (hold(&|r| r.seat_ids = vec!["seat".into()]).await, (Code::NotFound, "NOT_FOUND", Some("seat_ids"))),
        (
            hold(&|r| r.seat_ids = vec![SeatId::new().to_string()]).await,
            (Code::NotFound, "NOT_FOUND", Some("seat_ids")),
        ),
        (hold(&|r| r.areas = place("area".into(), 1)).await, (Code::NotFound, "NOT_FOUND", Some("areas"))),
        (hold(&|r| r.areas = place(AreaId::new().to_string(), 1)).await, (Code::NotFound, "NOT_FOUND", Some("areas"))),
        (hold(&|r| r.event_id = "event".into()).await, (Code::NotFound, "NOT_FOUND", Some("event_id"))),
        (hold(&|r| r.event_id = EventId::new().to_string()).await, (Code::NotFound, "NOT_FOUND", Some("event_id"))),
        (hold(&|r| r.request_id.clear()).await, (Code::InvalidArgument, "INVALID_INPUT", Some("request_id"))),
        (hold(&|r| r.request_id = "é".repeat(256)).await, (Code::InvalidArgument, "INVALID_INPUT", Some("request_id"))),
        (hold(&|r| r.request_id = "a\nb".into()).await, (Code::InvalidArgument, "INVALID_INPUT", Some("request_id"))),
    ] {
        assert_eq!(reason(answer), (wanted.0, wanted.1.to_owned(), wanted.2.map(str::to_owned)));
    }
    served.hold("carol", wish(&sale, &[], 3, "k")).await.unwrap();
    let sold_out = hold(&|r| r.areas = place(area(), 1)).await;
    assert_eq!(reason(sold_out), expected(Code::Aborted, "SOLD_OUT", "areas"));
    served.world.pass(chrono::Duration::days(31));
    assert_eq!(reason(hold(&|_| {}).await), expected(Code::FailedPrecondition, "NOT_ON_SALE", "event_id"));
}

#[tokio::test]
async fn refused_commands_say_why_with_reason_and_field() {
    let served = Served::start().await;
    let sale = served.world.sale(2, &[]).await;
    let held = served.hold("alice", wish(&sale, &[0], 0, "k1")).await.unwrap();
    let lapsing = served.hold("alice", wish(&sale, &[1], 0, "k2")).await.unwrap();

    let unknown_token = served.pay("alice", &held.id, "tok_visa", "k3").await;
    served.pay("alice", &held.id, "tok_approve", "k3").await.unwrap();
    let twice = served.pay("alice", &held.id, "tok_approve", "k4").await;
    let other_body = served.pay("alice", &held.id, "tok_decline", "k3").await;
    served.world.pass(HOLD);
    let lapsed = served.pay("alice", &lapsing.id, "tok_approve", "k5").await;
    served.world.sweep().await;
    let expired = served.pay("alice", &lapsing.id, "tok_approve", "k6").await;

    assert_eq!(reason(unknown_token), expected(Code::InvalidArgument, "INVALID_INPUT", "payment_token"));
    assert_eq!(reason(twice), expected(Code::FailedPrecondition, "INVALID_STATE", "booking_id"));
    assert_eq!(reason(other_body), expected(Code::Aborted, "IDEMPOTENCY_CONFLICT", "request_id"));
    assert_eq!(reason(lapsed), expected(Code::FailedPrecondition, "HOLD_EXPIRED", "booking_id"));
    assert_eq!(reason(expired), expected(Code::FailedPrecondition, "HOLD_EXPIRED", "booking_id"));
}

#[tokio::test]
async fn request_ids_return_the_first_answer() {
    let served = Served::start().await;
    let sale = served.world.sale(2, &[]).await;

    let first = served.hold("alice", wish(&sale, &[0], 0, "k")).await.unwrap();
    let paying = served.pay("alice", &first.id, "tok_approve", "k").await.unwrap();
    served.world.declined(BookingId::parse(&first.id).unwrap(), 1).await;

    assert_eq!(served.hold("alice", wish(&sale, &[0], 0, "k")).await.unwrap(), first);
    assert_eq!(served.pay("alice", &first.id, "tok_approve", "k").await.unwrap(), paying);
    let other = served.hold("alice", wish(&sale, &[1], 0, "k")).await;
    assert_eq!(reason(other), expected(Code::Aborted, "IDEMPOTENCY_CONFLICT", "request_id"));
    assert_ne!(served.hold("bob", wish(&sale, &[1], 0, "k")).await.unwrap(), first);
    let declined = served.get(served.customer("alice"), &first.id).await.unwrap();
    assert_eq!((declined.state(), declined.decline_code.as_str()), (BookingState::Held, "CARD_DECLINED"));
}
