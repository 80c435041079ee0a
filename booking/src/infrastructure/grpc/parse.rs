//! Requests to the domain's words, and what callers see of answers and errors.

use std::collections::HashMap;

use common::auth::Principal;
use common::error::{ErrorKind, status, to_status};
use common::ids::{AreaId, BookingId, ItemId, SeatId};
use common::page;
use common::proto::booking::v1::{self as proto, AreaQuantity, BookingState, HoldSeatsRequest, RefundBookingRequest};
use common::requests::RequestKey;
use prost::Message;
use sea_orm::DbErr;
use tonic::Status;
use uuid::Uuid;

use crate::application::hold::HoldError;
use crate::domain::booking::{RefundWish, RefundWishError};
use crate::domain::hold::{Wanted, WishError};
use crate::infrastructure::store::{Stored, TransitionError};
use crate::infrastructure::wire;

/// Longest reason of a refund, characters.
const REASON_MAX: usize = 500;
/// Why money goes back when nobody says.
const REASON: &str = "refunded by the box office";

/// A booking as answers remember it: exactly as the first call saw it.
pub(super) fn encoded(stored: &Stored) -> proto::Booking {
    wire::booking(stored, stored.booking.created_at)
}

pub(super) fn encode(stored: &Stored) -> Vec<u8> {
    encoded(stored).encode_to_vec()
}

/// An answer as it was given before.
pub(super) fn decode<M: Message + Default>(answer: &[u8]) -> Result<M, Status> {
    M::decode(answer).map_err(|e| db_status(DbErr::Custom(format!("broken row: requests.answer: {e}"))))
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

/// What to give back, and why.
pub(super) fn refund_wish(request: &RefundBookingRequest) -> Result<(RefundWish, String), Status> {
    if request.reason.chars().count() > REASON_MAX {
        return Err(invalid("reason", "a reason has at most 500 characters"));
    }
    if request.reason.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
        return Err(invalid("reason", "a reason must not contain control characters"));
    }
    let reason = if request.reason.trim().is_empty() { REASON } else { request.reason.trim() };
    let item = |id: &String| ItemId::parse(id).ok_or_else(|| unknown_item(id));
    let items = request.item_ids.iter().map(item).collect::<Result<Vec<_>, _>>()?;
    let wish = RefundWish::new(items, request.amount_minor).map_err(|error| {
        let field = match error {
            RefundWishError::Twice(_) => "item_ids",
            RefundWishError::Amount => "amount_minor",
        };
        invalid(field, &error.to_string())
    })?;
    Ok((wish, reason.to_owned()))
}

/// A malformed item id is answered like an unknown one.
fn unknown_item(id: &str) -> Status {
    let message = format!("item {id:.64} is not part of this booking");
    status(ErrorKind::NotFound, "NOT_FOUND", message, Some("item_ids".into()), HashMap::new())
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
