//! The gRPC face: translates and delegates.

use std::collections::HashMap;
use std::sync::Arc;

use common::auth::{Principal, Role};
use common::error::{ErrorKind, status, to_status};
use common::grpc::{AccessTable, principal};
use common::ids::EventId;
use common::page;
use common::proto::booking::v1::booking_service_server::BookingService;
use common::proto::booking::v1::{self as proto, *};
use prost::Message;
use tonic::{Request, Response, Status};

use self::parse::{
    booking_id, db_status, decode, encode, encoded, invalid, key, not_found, page_size, page_token, refund_wish,
    state_name, wanted,
};
use super::store::{Admitted, Availability as Places, CheckedIn, Listing, Outcome, Store, Stored, TransitionError};
use super::ticket_key::TicketPublicKey;
use super::wire;
use crate::application::best_available::{self, Boards, Seller, Wish};
use crate::application::check_in::{self, Scan};
use crate::application::hold::{Answer, HoldError};
use crate::application::offers::Offers;
use crate::application::{command, hold};

mod history;
mod parse;
mod report;

/// Who may call what.
pub const ACCESS: AccessTable = &[
    ("HoldSeats", &[Role::Customer, Role::Admin]),
    ("HoldBestAvailable", &[Role::Customer, Role::Admin]),
    ("PayBooking", &[Role::Customer, Role::Admin]),
    ("ReleaseBooking", &[Role::Customer, Role::Admin]),
    ("CancelBooking", &[Role::Customer, Role::Admin]),
    ("RefundBooking", &[Role::Admin]),
    ("GetBooking", &[Role::Customer, Role::Admin, Role::Service]),
    ("ListBookings", &[Role::Customer, Role::Admin]),
    ("BatchGetAvailability", &[Role::Customer, Role::Admin, Role::Service]),
    ("GetSeatStates", &[Role::Customer, Role::Admin, Role::Service]),
    ("EnsureOffer", &[Role::Service, Role::Admin]),
    ("StopSelling", &[Role::Service]),
    ("CheckIn", &[Role::Admin]),
    ("ListTicketKeys", &[Role::Customer, Role::Admin, Role::Service]),
    ("ListBookingHistory", &[Role::Admin]),
    ("ListSeatHistory", &[Role::Admin]),
    ("GetSalesReport", &[Role::Admin]),
    ("ListFacts", &[Role::Service]),
    ("ListHeads", &[Role::Service]),
];

/// Most events one availability call may name.
const EVENTS_MAX: usize = 100;

/// Implements the contract.
pub struct Api {
    store: Arc<Store>,
    offers: Arc<Offers>,
    boards: Boards,
}

impl Api {
    /// Serves `store`.
    pub fn new(store: Arc<Store>, offers: Arc<Offers>) -> Self {
        Self { store, offers, boards: Boards::new() }
    }

    /// A hold: as it is now, or as it was answered before.
    fn held(answer: Result<Answer, HoldError>) -> Result<proto::Booking, Status> {
        match answer.map_err(|e| to_status(&e))? {
            Answer::Held(stored) => Ok(encoded(&stored)),
            Answer::Replayed(answer) => decode(&answer),
        }
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

/// Which event's bookings to list, all customers' of it; none for the caller's own.
fn listed_event(who: &Principal, event: &str) -> Result<Option<EventId>, Status> {
    if event.is_empty() {
        return Ok(None);
    }
    if !who.has(Role::Admin) {
        let message = "only Admin may list an event's bookings";
        return Err(status(ErrorKind::PermissionDenied, "FORBIDDEN", message, None, HashMap::new()));
    }
    EventId::parse(event).map(Some).ok_or_else(not_found)
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
        let held = hold::hold(&self.store, &self.offers, &who.subject, event, &wanted, key, &encode).await;
        Ok(Response::new(HoldSeatsResponse { booking: Some(Self::held(held)?) }))
    }

    async fn hold_best_available(
        &self,
        request: Request<HoldBestAvailableRequest>,
    ) -> Result<Response<HoldBestAvailableResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let key = key(&who, "hold-best", &id, &request)?;
        let event = EventId::parse(&request.event_id).ok_or_else(|| to_status(&HoldError::NoEvent))?;
        let wish = Wish { quantity: request.quantity, category: request.category, accessible: request.accessible };
        let seller = Seller { store: &self.store, offers: &self.offers, boards: &self.boards };
        let held = best_available::hold_best(&seller, &who.subject, event, &wish, key, &encode).await;
        Ok(Response::new(HoldBestAvailableResponse { booking: Some(Self::held(held)?) }))
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

    async fn refund_booking(
        &self,
        request: Request<RefundBookingRequest>,
    ) -> Result<Response<RefundBookingResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let id = std::mem::take(&mut request.request_id);
        let key = key(&who, "refund", &id, &request)?;
        let (wish, reason) = refund_wish(&request)?;
        let booking = booking_id(&request.booking_id)?;
        let refunded = command::refund(&self.store, &who, booking, (&wish, &reason), &key, &encode).await;
        Ok(Response::new(RefundBookingResponse { booking: Some(self.answer(refunded).await?) }))
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
        let event = listed_event(&who, &request.event_id)?;
        let page_size = page_size(request.page_size)?;
        let listing = Listing {
            customer: event.is_none().then_some(who.subject.as_str()),
            event,
            state: state_name(request.state)?,
            before: page_token(&request.page_token)?,
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
        let availability = |(event, places): (EventId, Places)| proto::Availability {
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
            seating_plan_id: states.offer.terms.plan_id.to_string(),
        })))
    }

    async fn ensure_offer(
        &self,
        request: Request<EnsureOfferRequest>,
    ) -> Result<Response<EnsureOfferResponse>, Status> {
        let request = request.into_inner();
        let event = EventId::parse(&request.event_id).ok_or_else(|| to_status(&HoldError::NoEvent))?;
        let version = i64::try_from(request.version).map_err(|_| invalid("version", "out of range"))?.max(1);
        let offer = self.offers.at_least(event, version).await.map_err(|e| to_status(&HoldError::from(e)))?;
        Ok(Response::new(EnsureOfferResponse { version: offer.terms.version.cast_unsigned() }))
    }

    async fn stop_selling(
        &self,
        request: Request<StopSellingRequest>,
    ) -> Result<Response<StopSellingResponse>, Status> {
        let event = EventId::parse(&request.into_inner().event_id).ok_or_else(|| to_status(&HoldError::NoEvent))?;
        self.store.stop_selling(event).await.map_err(db_status)?;
        Ok(Response::new(StopSellingResponse {}))
    }

    async fn check_in(&self, request: Request<CheckInRequest>) -> Result<Response<CheckInResponse>, Status> {
        let who = principal(&request)?;
        let mut request = request.into_inner();
        let key = match std::mem::take(&mut request.request_id).as_str() {
            "" => None,
            id => Some(key(&who, "check_in", id, &request)?),
        };
        let answer = |used: &CheckedIn| wire::checked_in(used).encode_to_vec();
        let scan = Scan { token: &request.token, gate: &request.gate, key: key.as_ref(), answer: &answer };
        match check_in::check_in(&self.store, &who, scan).await.map_err(|e| to_status(&e))? {
            Admitted::Now(used) => Ok(Response::new(wire::checked_in(&used))),
            Admitted::Before(answer) => Ok(Response::new(decode(&answer)?)),
        }
    }

    async fn list_ticket_keys(
        &self,
        _: Request<ListTicketKeysRequest>,
    ) -> Result<Response<ListTicketKeysResponse>, Status> {
        let keys = self.store.ticket_keys().await.map_err(db_status)?;
        let key = |key: TicketPublicKey| TicketKey { key_id: key.key_id, public_key: key.bytes.into() };
        Ok(Response::new(ListTicketKeysResponse { keys: keys.into_iter().map(key).collect() }))
    }

    async fn list_booking_history(
        &self,
        request: Request<ListBookingHistoryRequest>,
    ) -> Result<Response<ListBookingHistoryResponse>, Status> {
        let page = self.booking_history(request.into_inner()).await?;
        Ok(Response::new(ListBookingHistoryResponse {
            entries: page.entries,
            tokens: page.tokens,
            has_more: page.has_more,
        }))
    }

    async fn list_seat_history(
        &self,
        request: Request<ListSeatHistoryRequest>,
    ) -> Result<Response<ListSeatHistoryResponse>, Status> {
        let page = self.seat_history(request.into_inner()).await?;
        Ok(Response::new(ListSeatHistoryResponse {
            entries: page.entries,
            tokens: page.tokens,
            has_more: page.has_more,
        }))
    }

    async fn get_sales_report(
        &self,
        request: Request<GetSalesReportRequest>,
    ) -> Result<Response<GetSalesReportResponse>, Status> {
        Ok(Response::new(self.sales_report(request.into_inner()).await?))
    }
}
