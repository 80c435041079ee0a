//! The gRPC face: translates and delegates.

use std::sync::Arc;

use common::auth::{Principal, Role};
use common::error::{ErrorKind, status, to_status};
use common::grpc::{AccessTable, principal};
use common::ids::{AreaId, BookingId, EventId, SeatId};
use common::outbox::{self, Outbox};
use common::page;
use common::proto::booking::v1::booking_service_server::BookingService;
use common::proto::booking::v1::{self as proto, *};
use common::requests::RequestKey;
use prost::Message;
use sea_orm::DbErr;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::store::{Listing, Outcome, Store, Stored, TransitionError};
use super::wire;
use crate::application::hold::{Answer, HoldError};
use crate::application::offers::{OfferError, Offers};
use crate::application::{command, hold};
use crate::domain::hold::{Wanted, WishError};

/// Who may call what.
pub const ACCESS: AccessTable = &[
    ("HoldSeats", &[Role::Customer, Role::Admin]),
    ("PayBooking", &[Role::Customer, Role::Admin]),
    ("ReleaseBooking", &[Role::Customer, Role::Admin]),
    ("CancelBooking", &[Role::Customer, Role::Admin]),
    ("GetBooking", &[Role::Customer, Role::Admin, Role::Service]),
    ("ListBookings", &[Role::Customer, Role::Admin]),
    ("BatchGetAvailability", &[Role::Customer, Role::Admin, Role::Service]),
    ("GetSeatStates", &[Role::Customer, Role::Admin, Role::Service]),
    ("EnsureOffer", &[Role::Service, Role::Admin]),
    ("ListFacts", &[Role::Service]),
];

/// Most events one availability call may name.
const EVENTS_MAX: usize = 100;

/// Implements the contract.
pub struct Api {
    store: Arc<Store>,
    offers: Arc<Offers>,
    outbox: Outbox,
}

impl Api {
    /// Serves `store`.
    pub fn new(store: Arc<Store>, offers: Arc<Offers>, outbox: Outbox) -> Self {
        Self { store, offers, outbox }
    }

    async fn show(&self, stored: &Stored) -> Result<proto::Booking, Status> {
        let now = self.store.db.now(self.store.db.reader()).await.map_err(db_status)?;
        Ok(wire::booking(stored, now))
    }

    /// The answer to a command: as it is now, or as it was given before.
    async fn answer(&self, outcome: Result<Outcome, TransitionError>) -> Result<proto::Booking, Status> {
        match outcome.map_err(|e| to_status(&e))? {
            Outcome::Done(stored) => Ok(encoded(&stored)),
            Outcome::Replayed(answer) => decode(&answer),
        }
    }
}

/// A booking as answers remember it: exactly as the first call saw it.
fn encoded(stored: &Stored) -> proto::Booking {
    wire::booking(stored, stored.booking.created_at)
}

fn encode(stored: &Stored) -> Vec<u8> {
    encoded(stored).encode_to_vec()
}

fn decode(answer: &[u8]) -> Result<proto::Booking, Status> {
    proto::Booking::decode(answer).map_err(|e| db_status(DbErr::Custom(format!("broken row: requests.answer: {e}"))))
}

fn db_status(error: DbErr) -> Status {
    to_status(&TransitionError::Db(error))
}

fn not_found() -> Status {
    to_status(&TransitionError::NotFound)
}

fn booking_id(text: &str) -> Result<BookingId, Status> {
    BookingId::parse(text).ok_or_else(not_found)
}

fn invalid(field: &str, message: &str) -> Status {
    status(ErrorKind::InvalidInput, "INVALID_INPUT", message, Some(field.into()), Default::default())
}

/// The key of a writing call; `request` must have its request id cleared.
fn key<M: Message>(who: &Principal, operation: &str, id: &str, request: &M) -> Result<RequestKey, Status> {
    RequestKey::new(&who.subject, operation, id, &request.encode_to_vec()).map_err(|e| to_status(&e))
}

fn wanted(request: &HoldSeatsRequest) -> Result<Wanted, HoldError> {
    let seat = |id: &String| SeatId::parse(id).ok_or_else(|| WishError::Unknown(format!("seat {id:.64}")));
    let area = |wish: &AreaQuantity| {
        let id = AreaId::parse(&wish.area_id).ok_or_else(|| WishError::Unknown(format!("area {:.64}", wish.area_id)));
        Ok::<_, WishError>((id?, wish.quantity))
    };
    let seats = request.seat_ids.iter().map(seat).collect::<Result<Vec<_>, _>>()?;
    let areas = request.areas.iter().map(area).collect::<Result<Vec<_>, _>>()?;
    Ok(Wanted::new(seats, areas)?)
}

fn state_name(state: i32) -> Result<Option<&'static str>, Status> {
    match BookingState::try_from(state) {
        Ok(BookingState::Unspecified) => Ok(None),
        Ok(BookingState::Held) => Ok(Some("HELD")),
        Ok(BookingState::Paying) => Ok(Some("PAYING")),
        Ok(BookingState::Confirmed) => Ok(Some("CONFIRMED")),
        Ok(BookingState::Cancelled) => Ok(Some("CANCELLED")),
        Ok(BookingState::Expired) => Ok(Some("EXPIRED")),
        Ok(BookingState::Released) => Ok(Some("RELEASED")),
        Err(_) => Err(invalid("state", "unknown state")),
    }
}

#[tonic::async_trait]
impl BookingService for Api {
    async fn hold_seats(&self, request: Request<HoldSeatsRequest>) -> Result<Response<HoldSeatsResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let key = key(&who, "hold", &id, &request)?;
        let wanted = wanted(&request).map_err(|e| to_status(&e))?;
        let event = EventId::parse(&request.event_id).ok_or_else(|| to_status(&HoldError::NoEvent))?;
        let held = hold::hold(&self.store, &self.offers, &who.subject, event, &wanted, key, &encode);
        let booking = match held.await.map_err(|e| to_status(&e))? {
            Answer::Held(stored) => encoded(&stored),
            Answer::Replayed(answer) => decode(&answer)?,
        };
        Ok(Response::new(HoldSeatsResponse { booking: Some(booking) }))
    }

    async fn pay_booking(&self, request: Request<PayBookingRequest>) -> Result<Response<PayBookingResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let key = key(&who, "pay", &id, &request)?;
        let booking = booking_id(&request.booking_id)?;
        let paid = command::pay(&self.store, &who, booking, &request.payment_token, &key, &encode).await;
        Ok(Response::new(PayBookingResponse { booking: Some(self.answer(paid).await?) }))
    }

    async fn release_booking(
        &self,
        request: Request<ReleaseBookingRequest>,
    ) -> Result<Response<ReleaseBookingResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let key = key(&who, "release", &id, &request)?;
        let released = command::release(&self.store, &who, booking_id(&request.booking_id)?, &key, &encode).await;
        Ok(Response::new(ReleaseBookingResponse { booking: Some(self.answer(released).await?) }))
    }

    async fn cancel_booking(
        &self,
        request: Request<CancelBookingRequest>,
    ) -> Result<Response<CancelBookingResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let key = key(&who, "cancel", &id, &request)?;
        let cancelled = command::cancel(&self.store, &who, booking_id(&request.booking_id)?, &key, &encode).await;
        Ok(Response::new(CancelBookingResponse { booking: Some(self.answer(cancelled).await?) }))
    }

    async fn get_booking(&self, request: Request<GetBookingRequest>) -> Result<Response<GetBookingResponse>, Status> {
        let who = principal(&request)?;
        let id = booking_id(&request.into_inner().booking_id)?;
        let stored = self.store.find(id).await.map_err(db_status)?.ok_or_else(not_found)?;
        if !who.may_see(&stored.booking.customer_id) {
            return Err(not_found());
        }
        Ok(Response::new(GetBookingResponse { booking: Some(self.show(&stored).await?) }))
    }

    async fn list_bookings(
        &self,
        request: Request<ListBookingsRequest>,
    ) -> Result<Response<ListBookingsResponse>, Status> {
        let who = principal(&request)?;
        let request = request.into_inner();
        let event = match request.event_id.as_str() {
            "" => None,
            _ if !who.has(Role::Admin) => {
                let message = "only Admin may list an event's bookings";
                return Err(status(ErrorKind::PermissionDenied, "FORBIDDEN", message, None, Default::default()));
            }
            id => Some(EventId::parse(id).ok_or_else(not_found)?),
        };
        let page_size =
            page::page_size(request.page_size).ok_or_else(|| invalid("page_size", "page_size must be 1 to 100"))?;
        let before = match request.page_token.as_str() {
            "" => None,
            token => Some(BookingId(
                page::key::<Uuid>(token).ok_or_else(|| invalid("page_token", "not a page token of this list"))?,
            )),
        };
        let listing = Listing {
            customer: event.is_none().then_some(who.subject.as_str()),
            event,
            state: state_name(request.state)?,
            before,
            limit: page_size + 1,
        };
        let mut found = self.store.list(&listing).await.map_err(db_status)?;
        let has_more = page::cut(&mut found, page_size);
        let now = self.store.db.now(self.store.db.reader()).await.map_err(db_status)?;
        Ok(Response::new(ListBookingsResponse {
            tokens: found.iter().map(|stored| page::token(&stored.booking.id.0)).collect(),
            bookings: found.iter().map(|stored| wire::booking(stored, now)).collect(),
            has_more,
        }))
    }

    async fn batch_get_availability(
        &self,
        request: Request<BatchGetAvailabilityRequest>,
    ) -> Result<Response<BatchGetAvailabilityResponse>, Status> {
        let request = request.into_inner();
        if request.event_ids.len() > EVENTS_MAX {
            return Err(invalid("event_ids", "at most 100 events at once"));
        }
        let events: Vec<EventId> = request.event_ids.iter().filter_map(|id| EventId::parse(id)).collect();
        let found = self.store.availabilities(&events).await.map_err(db_status)?;
        let availability = |(event, places): (EventId, super::store::Availability)| proto::Availability {
            event_id: event.to_string(),
            free: places.total.saturating_sub(places.held + places.sold),
            held: places.held,
            sold: places.sold,
            total: places.total,
        };
        Ok(Response::new(BatchGetAvailabilityResponse {
            availabilities: found.into_iter().map(availability).collect(),
        }))
    }

    async fn get_seat_states(
        &self,
        request: Request<GetSeatStatesRequest>,
    ) -> Result<Response<GetSeatStatesResponse>, Status> {
        let Some(event) = EventId::parse(&request.into_inner().event_id) else {
            return Ok(Response::new(GetSeatStatesResponse::default()));
        };
        let states = self.store.seat_states(event).await.map_err(db_status)?;
        Ok(Response::new(states.map_or_else(GetSeatStatesResponse::default, |states| GetSeatStatesResponse {
            seats: states.seats.into(),
            areas: states.areas.into_iter().map(|(area, free)| AreaFree { area_id: area.to_string(), free }).collect(),
            seating_plan_id: states.offer.plan_id.to_string(),
        })))
    }

    async fn ensure_offer(
        &self,
        request: Request<EnsureOfferRequest>,
    ) -> Result<Response<EnsureOfferResponse>, Status> {
        let request = request.into_inner();
        let event = EventId::parse(&request.event_id).ok_or_else(|| to_status(&HoldError::NoEvent))?;
        let version = i64::try_from(request.version).map_err(|_| invalid("version", "out of range"))?.max(1);
        let offer = self.offers.at_least(event, version).await;
        let offer = offer.map_err(|error: OfferError| to_status(&HoldError::from(error)))?;
        Ok(Response::new(EnsureOfferResponse { version: offer.version.cast_unsigned() }))
    }

    async fn list_facts(&self, request: Request<ListFactsRequest>) -> Result<Response<ListFactsResponse>, Status> {
        let request = request.into_inner();
        let listing = match request.aggregate_id.as_str() {
            "" => outbox::Listing::From(request.after_position.cast_signed()),
            id => outbox::Listing::Aggregate(
                Uuid::try_parse(id).map_err(|_| invalid("aggregate_id", "malformed"))?,
                request.after_sequence.cast_signed(),
            ),
        };
        let page = self.outbox.list(listing, request.page_size).await.map_err(db_status)?;
        Ok(Response::new(ListFactsResponse {
            records: page.records,
            last_position: page.last_position.cast_unsigned(),
            has_more: page.has_more,
        }))
    }
}
