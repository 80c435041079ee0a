//! Requests to the domain's words, and what callers see of answers and errors.

use std::collections::HashMap;

use common::auth::Principal;
use common::error::{ErrorKind, status, to_status};
use common::ids::{AreaId, BookingId, SeatId};
use common::page;
use common::proto::booking::v1::{self as proto, AreaQuantity, BookingState, HoldSeatsRequest};
use common::requests::RequestKey;
use prost::Message;
use sea_orm::DbErr;
use tonic::Status;
use uuid::Uuid;

use crate::application::hold::HoldError;
use crate::domain::hold::{Wanted, WishError};
use crate::infrastructure::store::{Stored, TransitionError};
use crate::infrastructure::wire;

/// A booking as answers remember it: exactly as the first call saw it.
pub(super) fn encoded(stored: &Stored) -> proto::Booking {
    wire::booking(stored, stored.booking.created_at)
}

pub(super) fn encode(stored: &Stored) -> Vec<u8> {
    encoded(stored).encode_to_vec()
}

pub(super) fn decode(answer: &[u8]) -> Result<proto::Booking, Status> {
    proto::Booking::decode(answer).map_err(|e| db_status(DbErr::Custom(format!("broken row: requests.answer: {e}"))))
}

pub(super) fn db_status(error: DbErr) -> Status {
    to_status(&TransitionError::Db(error))
}

pub(super) fn not_found() -> Status {
    to_status(&TransitionError::NotFound)
}

pub(super) fn booking_id(text: &str) -> Result<BookingId, Status> {
    BookingId::parse(text).ok_or_else(not_found)
}

pub(super) fn invalid(field: &str, message: &str) -> Status {
    status(ErrorKind::InvalidInput, "INVALID_INPUT", message, Some(field.into()), HashMap::new())
}

/// The key of a writing call; `request` must have its request id cleared.
pub(super) fn key<M: Message>(who: &Principal, operation: &str, id: &str, request: &M) -> Result<RequestKey, Status> {
    RequestKey::new(&who.subject, operation, id, &request.encode_to_vec()).map_err(|e| to_status(&e))
}

pub(super) fn wanted(request: &HoldSeatsRequest) -> Result<Wanted, HoldError> {
    let seat = |id: &String| SeatId::parse(id).ok_or_else(|| WishError::Unknown(format!("seat {id:.64}")));
    let area = |wish: &AreaQuantity| {
        let id = AreaId::parse(&wish.area_id).ok_or_else(|| WishError::Unknown(format!("area {:.64}", wish.area_id)));
        Ok::<_, WishError>((id?, wish.quantity))
    };
    let seats = request.seat_ids.iter().map(seat).collect::<Result<Vec<_>, _>>()?;
    let areas = request.areas.iter().map(area).collect::<Result<Vec<_>, _>>()?;
    Ok(Wanted::new(seats, areas)?)
}

pub(super) fn state_name(state: i32) -> Result<Option<&'static str>, Status> {
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

/// A state by its stored name.
pub(super) fn state_of(name: &str) -> Result<BookingState, DbErr> {
    BookingState::from_str_name(&format!("BOOKING_STATE_{name}"))
        .ok_or_else(|| DbErr::Custom(format!("broken row: history: state {name}")))
}

/// How many rows a page has.
pub(super) fn page_size(wanted: u32) -> Result<u32, Status> {
    page::page_size(wanted).ok_or_else(|| invalid("page_size", "page_size must be 1 to 100"))
}

/// The booking a page continues after; none for the first page.
pub(super) fn page_token(token: &str) -> Result<Option<BookingId>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let key = page::key::<Uuid>(token).ok_or_else(|| invalid("page_token", "not a page token of this list"))?;
    Ok(Some(BookingId(key)))
}
