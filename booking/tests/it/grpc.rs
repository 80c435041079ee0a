//! The gRPC face, over a real connection: access, answers, pages, deadlines; what is refused is in `refusals`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use booking::infrastructure::grpc::{ACCESS, Api};
use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::error::Refused;
use common::fact_service::FactApi;
use common::grpc::{Caller, MeshChannel, Server};
use common::ids::{BookingId, EventId};
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::proto::booking::v1::booking_service_server::BookingServiceServer;
use common::proto::booking::v1::*;
use common::proto::common::v1::fact_service_client::FactServiceClient;
use common::proto::common::v1::{ListFactsRequest, ListHeadsRequest};
use common::runtime::Shutdown;
use common::testing::TestDb;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::sale::{PLACE_PRICE, SEAT_PRICE, Sale};
use crate::world::World;

mod gates;
mod keys;
mod refusals;

/// Booking behind its real server, with a catalog in the test's hands.
struct Served {
    world: Arc<World>,
    issuer: Arc<DevIssuer>,
    client: BookingServiceClient<MeshChannel>,
    facts: FactServiceClient<MeshChannel>,
    _server: JoinSet<anyhow::Result<()>>,
}

impl Served {
    async fn start() -> Self {
        let world = Arc::new(World::new(TestDb::sqlite().await).await);
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let api = BookingServiceServer::new(Api::new(world.store.clone(), world.offers.clone()));
        let server = Server::new("booking", issuer.verifier().unwrap(), ACCESS)
            .add(api)
            .add(FactApi::service(world.outbox.clone()));
        let mut running = JoinSet::new();
        running.spawn(server.serve(listener, "eventix.booking.v1.BookingService", Shutdown::new()));
        let channel = MeshChannel::new("booking", [address]).unwrap();
        let (client, facts) = (BookingServiceClient::new(channel.clone()), FactServiceClient::new(channel));
        Self { world, issuer, client, facts, _server: running }
    }

    fn client(&self) -> BookingServiceClient<MeshChannel> {
        self.client.clone()
    }

    fn caller(&self, name: &str, role: Role) -> Caller {
        Caller::user(&self.issuer.mint(name, role).unwrap(), Instant::now() + Duration::from_secs(30))
    }

    fn customer(&self, name: &str) -> Caller {
        self.caller(name, Role::Customer)
    }

    async fn hold(&self, name: &str, request: HoldSeatsRequest) -> Result<Booking, Status> {
        let held = self.client().hold_seats(self.customer(name).request(request)).await?;
        Ok(held.into_inner().booking.unwrap())
    }

    async fn pay(&self, name: &str, booking_id: &str, token: &str, id: &str) -> Result<Booking, Status> {
        let (booking_id, payment_token) = (booking_id.to_owned(), token.to_owned());
        let request = PayBookingRequest { booking_id, payment_token, request_id: id.to_owned() };
        Ok(self.client().pay_booking(self.customer(name).request(request)).await?.into_inner().booking.unwrap())
    }

    async fn get(&self, caller: Caller, booking_id: &str) -> Result<Booking, Status> {
        let request = GetBookingRequest { booking_id: booking_id.to_owned() };
        Ok(self.client().get_booking(caller.request(request)).await?.into_inner().booking.unwrap())
    }

    async fn list(&self, caller: Caller, request: ListBookingsRequest) -> Result<ListBookingsResponse, Status> {
        Ok(self.client().list_bookings(caller.request(request)).await?.into_inner())
    }
}

fn wish(sale: &Sale, seats: &[usize], places: u32, id: &str) -> HoldSeatsRequest {
    HoldSeatsRequest {
        event_id: sale.event.to_string(),
        seat_ids: seats.iter().map(|at| sale.seats[*at].to_string()).collect(),
        areas: (places > 0)
            .then(|| AreaQuantity { area_id: sale.areas[0].0.to_string(), quantity: places })
            .into_iter()
            .collect(),
        request_id: id.to_owned(),
    }
}

fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String, Option<String>) {
    let status = answer.unwrap_err();
    let refused = Refused::of(&status);
    (status.code(), refused.reason, refused.field)
}

#[tokio::test]
async fn a_reason_that_cannot_be_stored_is_refused() {
    let served = Served::start().await;
    let request = RefundBookingRequest {
        request_id: "k".into(),
        reason: "spilt\0milk".into(),
        ..RefundBookingRequest::default()
    };

    let refused = served.client().refund_booking(served.caller("office", Role::Admin).request(request)).await;

    assert_eq!(reason(refused), expected(Code::InvalidArgument, "INVALID_INPUT", "reason"));
}

fn expected(code: Code, reason: &str, field: &str) -> (Code, String, Option<String>) {
    (code, reason.to_owned(), Some(field.to_owned()))
}

#[tokio::test]
async fn every_method_admits_exactly_its_roles() {
    let served = Served::start().await;
    macro_rules! code {
        ($method:ident, $request:expr, $caller:expr) => {
            match served.client().$method($caller.request($request)).await {
                Ok(_) => Code::Ok,
                Err(status) => status.code(),
            }
        };
    }
    macro_rules! refused_roles {
        ($($method:ident($request:expr)),+ $(,)?) => {[$((stringify!($method), {
            let mut refused = Vec::new();
            for role in [Role::Customer, Role::Admin, Role::Service] {
                if code!($method, $request, served.caller("someone", role)) == Code::PermissionDenied {
                    refused.push(role);
                }
            }
            let stranger = Caller::user("no.token.atall", Instant::now() + Duration::from_secs(5));
            assert_eq!(code!($method, $request, stranger), Code::Unauthenticated);
            refused
        })),+]};
    }

    let refused = refused_roles!(
        hold_seats(HoldSeatsRequest::default()),
        hold_best_available(HoldBestAvailableRequest::default()),
        pay_booking(PayBookingRequest::default()),
        release_booking(ReleaseBookingRequest::default()),
        cancel_booking(CancelBookingRequest::default()),
        refund_booking(RefundBookingRequest::default()),
        get_booking(GetBookingRequest::default()),
        list_bookings(ListBookingsRequest::default()),
        batch_get_availability(BatchGetAvailabilityRequest::default()),
        get_seat_states(GetSeatStatesRequest::default()),
        ensure_offer(EnsureOfferRequest::default()),
        stop_selling(StopSellingRequest::default()),
        check_in(CheckInRequest::default()),
        list_ticket_keys(ListTicketKeysRequest::default()),
        list_booking_history(ListBookingHistoryRequest::default()),
        list_seat_history(ListSeatHistoryRequest::default()),
        get_sales_report(GetSalesReportRequest::default()),
    );

    assert_eq!(refused.len() + 2, ACCESS.len(), "a method is missing here; those of facts have a test of their own");
    for (method, roles) in refused {
        let expected: &[Role] = match method {
            "hold_seats"
            | "hold_best_available"
            | "pay_booking"
            | "release_booking"
            | "cancel_booking"
            | "list_bookings" => &[Role::Service],
            "ensure_offer" => &[Role::Customer],
            "refund_booking" | "check_in" | "list_booking_history" | "list_seat_history" | "get_sales_report" => {
                &[Role::Customer, Role::Service]
            }
            "stop_selling" => &[Role::Customer, Role::Admin],
            _ => &[],
        };
        assert_eq!(roles, expected, "{method}");
    }
}

#[tokio::test]
async fn a_booking_is_held_paid_shown_and_cancelled() {
    let served = Served::start().await;
    let sale = served.world.sale(3, &[5]).await;

    let held = served.hold("alice", wish(&sale, &[2, 0], 1, "k1")).await.unwrap();
    let paying = served.pay("alice", &held.id, "tok_approve", "k2").await.unwrap();
    let booking = BookingId::parse(&held.id).unwrap();
    served.world.authorised(booking, 1).await;
    let confirmed = served.get(served.customer("alice"), &held.id).await.unwrap();
    let cancel = CancelBookingRequest { booking_id: held.id.clone(), request_id: "k3".into() };
    let cancelled = served.client().cancel_booking(served.caller("box office", Role::Admin).request(cancel)).await;
    let cancelled = cancelled.unwrap().into_inner().booking.unwrap();

    assert_eq!((held.state(), paying.state()), (BookingState::Held, BookingState::Paying));
    assert_eq!((confirmed.state(), cancelled.state()), (BookingState::Confirmed, BookingState::Cancelled));
    assert_eq!(held.customer_id, "alice");
    assert_eq!(held.total.unwrap().amount_minor, 2 * SEAT_PRICE + PLACE_PRICE);
    let items: Vec<_> = held.items.iter().map(|item| (item.seat_id.clone(), item.area_id.clone())).collect();
    let area = sale.areas[0].0.to_string();
    let expected =
        [(sale.seats[2].to_string(), String::new()), (sale.seats[0].to_string(), String::new()), (String::new(), area)];
    assert_eq!(items, expected);
    assert!(paying.expires_at.unwrap().seconds > held.expires_at.unwrap().seconds);
    assert_eq!((paying.attempt, confirmed.tickets.len()), (1, 3));
    assert!(confirmed.tickets.iter().zip(&confirmed.items).all(|(t, i)| t.item_id == i.id && !t.void));
    assert!(cancelled.tickets.iter().all(|ticket| ticket.void));
    assert_eq!(cancelled.cancel_cause, "CUSTOMER");
}

#[tokio::test]
async fn lists_have_tokens_states_and_bounds() {
    let served = Served::start().await;
    let sale = served.world.sale(5, &[]).await;
    let mut ids = Vec::new();
    for seat in 0..3 {
        ids.insert(0, served.hold("alice", wish(&sale, &[seat], 0, &format!("k{seat}"))).await.unwrap().id);
    }
    let bobs = served.hold("bob", wish(&sale, &[3], 0, "k")).await.unwrap().id;
    let page = |page_size, page_token: &str| ListBookingsRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..ListBookingsRequest::default()
    };
    let of_event = |state: BookingState| ListBookingsRequest {
        event_id: sale.event.to_string(),
        state: state.into(),
        ..page(100, "")
    };
    let alice = || served.customer("alice");
    let admin = || served.caller("office", Role::Admin);
    let listed = |response: &ListBookingsResponse| response.bookings.iter().map(|b| b.id.clone()).collect::<Vec<_>>();

    let first = served.list(alice(), page(2, "")).await.unwrap();
    let rest = served.list(alice(), page(2, &first.tokens[1])).await.unwrap();
    let middle = served.list(alice(), page(1, &first.tokens[0])).await.unwrap();
    let all = served.list(admin(), of_event(BookingState::Unspecified)).await.unwrap();
    let held = served.list(admin(), of_event(BookingState::Held)).await.unwrap();
    let nothing = BookingState::Confirmed;

    assert_eq!((listed(&first), first.tokens.len(), first.has_more), (ids[..2].to_vec(), 2, true));
    assert_eq!((listed(&rest), rest.has_more), (ids[2..].to_vec(), false));
    assert_eq!((listed(&middle), middle.has_more), (ids[1..2].to_vec(), true));
    assert_eq!(listed(&all), [vec![bobs], ids].concat());
    assert_eq!(held, all);
    for state in [nothing, BookingState::Paying, BookingState::Cancelled, BookingState::Expired, BookingState::Released]
    {
        assert!(listed(&served.list(admin(), of_event(state)).await.unwrap()).is_empty());
    }
    for (request, field) in [
        (page(0, ""), "page_size"),
        (page(101, ""), "page_size"),
        (page(10, "garbage"), "page_token"),
        (ListBookingsRequest { state: 99, ..page(10, "") }, "state"),
    ] {
        let refused = served.list(alice(), request).await;
        assert_eq!(reason(refused), expected(Code::InvalidArgument, "INVALID_INPUT", field));
    }
    let forbidden = served.list(alice(), of_event(BookingState::Held)).await;
    assert_eq!(reason(forbidden), (Code::PermissionDenied, "FORBIDDEN".into(), None));
    let malformed = ListBookingsRequest { event_id: "event".into(), ..page(10, "") };
    assert_eq!(reason(served.list(admin(), malformed).await).0, Code::NotFound);
}

#[tokio::test]
async fn availability_and_seat_states_are_told_compactly() {
    let served = Served::start().await;
    let sale = served.world.sale(4, &[10]).await;
    served.world.confirmed(&sale, "alice", &[1], &[]).await;
    served.hold("bob", wish(&sale, &[3], 4, "k")).await.unwrap();
    let anyone = || served.customer("carol");
    let event_ids = vec![sale.event.to_string(), EventId::new().to_string(), "event".into()];

    let places =
        served.client().batch_get_availability(anyone().request(BatchGetAvailabilityRequest { event_ids })).await;
    let states = GetSeatStatesRequest { event_id: sale.event.to_string() };
    let states = served.client().get_seat_states(anyone().request(states)).await.unwrap().into_inner();

    let event_id = sale.event.to_string();
    let expected = [Availability { event_id, free: 8, held: 5, sold: 1, total: 14 }];
    assert_eq!(places.unwrap().into_inner().availabilities, expected);
    assert_eq!(states.seats.as_ref(), [0, 2, 0, 1]);
    assert_eq!(states.areas, [AreaFree { area_id: sale.areas[0].0.to_string(), free: 6 }]);
    assert_eq!(states.seating_plan_id, sale.plan.to_string());
    for event_id in [EventId::new().to_string(), "event".into()] {
        let request = anyone().request(GetSeatStatesRequest { event_id });
        let unknown = served.client().get_seat_states(request).await.unwrap().into_inner();
        assert_eq!(unknown, GetSeatStatesResponse::default());
    }
    let event_ids = vec![sale.event.to_string(); 101];
    let too_many = anyone().request(BatchGetAvailabilityRequest { event_ids });
    let refused = served.client().batch_get_availability(too_many).await;
    assert_eq!(reason(refused).2.as_deref(), Some("event_ids"));
}

#[tokio::test]
async fn an_offer_is_made_sure_of_within_the_callers_deadline() {
    let served = Served::start().await;
    let sale = Sale::new(served.world.now().await, 1, &[]);
    served.world.catalog.offer(&sale);
    let service = || served.caller("catalog", Role::Service);
    let ensure = async |caller: Caller, event_id: String, version| {
        let request = EnsureOfferRequest { event_id, version };
        served.client().ensure_offer(caller.request(request)).await.map(|r| r.into_inner().version)
    };

    assert_eq!(ensure(service(), sale.event.to_string(), 0).await.unwrap(), 1);
    assert_eq!(ensure(service(), sale.event.to_string(), 1).await.unwrap(), 1);
    for (event, version) in [(sale.event.to_string(), 2), ("event".into(), 1)] {
        let refused = ensure(service(), event, version).await;
        assert_eq!(reason(refused), expected(Code::NotFound, "NOT_FOUND", "event_id"));
    }
    let out_of_range = ensure(service(), sale.event.to_string(), u64::MAX).await;
    assert_eq!(reason(out_of_range), expected(Code::InvalidArgument, "INVALID_INPUT", "version"));
    served.world.catalog.down.store(true, Ordering::SeqCst);
    let down = ensure(service(), EventId::new().to_string(), 1).await;
    assert_eq!(reason(down), (Code::Unavailable, "UNAVAILABLE".into(), None));

    served.world.catalog.down.store(false, Ordering::SeqCst);
    served.world.catalog.slow.store(true, Ordering::SeqCst);
    let soon = service().until(Instant::now() + Duration::from_millis(300));
    let late = ensure(soon, EventId::new().to_string(), 1).await;
    assert_eq!(reason(late), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into(), None));
}

#[tokio::test]
async fn facts_are_served_again_by_aggregate_and_by_position() {
    let served = Served::start().await;
    let sale = served.world.sale(2, &[]).await;
    let booking = served.world.confirmed(&sale, "alice", &[0], &[]).await;
    served.world.held(&sale, "bob", &[1], &[]).await;
    let service = || served.caller("payment", Role::Service);
    let facts = async |request: ListFactsRequest| {
        served.facts.clone().list_facts(service().request(request)).await.map(tonic::Response::into_inner)
    };
    for role in [Role::Customer, Role::Admin] {
        let request = served.caller("nosy", role).request(ListFactsRequest::default());
        assert_eq!(served.facts.clone().list_facts(request).await.unwrap_err().code(), Code::PermissionDenied);
        let request = served.caller("nosy", role).request(ListHeadsRequest::default());
        assert_eq!(served.facts.clone().list_heads(request).await.unwrap_err().code(), Code::PermissionDenied);
    }

    let aggregate_id = booking.to_string();
    let after_first =
        ListFactsRequest { aggregate_id, after_sequence: 1, page_size: 10, ..ListFactsRequest::default() };
    let of_booking = facts(after_first).await.unwrap();
    let first_page = facts(ListFactsRequest { page_size: 3, ..ListFactsRequest::default() }).await.unwrap();
    let after_position = first_page.last_position;
    let second_page =
        facts(ListFactsRequest { after_position, page_size: 3, ..ListFactsRequest::default() }).await.unwrap();
    let aggregate_id = "no id".to_owned();
    let malformed =
        facts(ListFactsRequest { aggregate_id, page_size: 3, ..ListFactsRequest::default() }).await.unwrap();
    let no_size = facts(ListFactsRequest::default()).await;

    assert_eq!((of_booking.records.len(), of_booking.has_more), (2, false));
    assert_eq!((first_page.records.len(), first_page.has_more), (3, true));
    assert_eq!((second_page.records.len(), second_page.has_more), (1, false));
    assert!(malformed.records.is_empty());
    assert_eq!(reason(no_size), expected(Code::InvalidArgument, "INVALID_INPUT", "page_size"));
}
