//! Bookings: the type, its nested reads, and the queries.

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use common::grpc::Caller;
use common::proto::booking::v1 as pb;

use super::Api;
use super::event::{self, Event};
use super::page::{Connection, PageRequest};
use super::payment::{self, Payment};
use super::price::Money;
use super::refund::{self, Refund};
use super::scalars::{BigInt, Timestamp};
use crate::clients::call_retried;
use crate::error::{Fault, nullable, optional};
use crate::viewer::Viewer;

/// Where a booking stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookingState {
    /// Its places are held until `expiresAt`.
    Held,
    /// An attempt to pay is under way; read again.
    Paying,
    /// Sold; tickets are there.
    Confirmed,
    /// Called off; final.
    Cancelled,
    /// The hold lapsed; final.
    Expired,
    /// Let go by the customer; final.
    Released,
}

impl TryFrom<pb::BookingState> for BookingState {
    type Error = Fault;

    fn try_from(state: pb::BookingState) -> Result<Self, Fault> {
        Ok(match state {
            pb::BookingState::Unspecified => return Err(Fault::internal("booking without a state")),
            pb::BookingState::Held => Self::Held,
            pb::BookingState::Paying => Self::Paying,
            pb::BookingState::Confirmed => Self::Confirmed,
            pb::BookingState::Cancelled => Self::Cancelled,
            pb::BookingState::Expired => Self::Expired,
            pb::BookingState::Released => Self::Released,
        })
    }
}

impl From<BookingState> for pb::BookingState {
    fn from(state: BookingState) -> Self {
        match state {
            BookingState::Held => Self::Held,
            BookingState::Paying => Self::Paying,
            BookingState::Confirmed => Self::Confirmed,
            BookingState::Cancelled => Self::Cancelled,
            BookingState::Expired => Self::Expired,
            BookingState::Released => Self::Released,
        }
    }
}

/// A seat of a booking.
#[derive(SimpleObject)]
pub struct BookedSeat {
    /// Opaque.
    id: ID,
    /// For people, for instance `Stalls, row C, seat 12`.
    label: String,
}

/// The area of a booked place.
#[derive(SimpleObject)]
pub struct BookedArea {
    /// Opaque.
    id: ID,
    /// For people.
    name: String,
}

/// One seat, or one place of an area.
#[derive(SimpleObject)]
pub struct BookingItem {
    /// Opaque.
    id: ID,
    /// The seat; null for a place of an area.
    seat: Option<BookedSeat>,
    /// The area; null for a seat.
    area: Option<BookedArea>,
    /// Price when it was held.
    price: Money,
    /// What of the price went back or is on its way.
    refunded: Money,
    /// When it was cancelled, alone or with its booking, UTC; null while it admits, and for what was never sold.
    cancelled_at: Option<Timestamp>,
}

/// Admission for one item.
#[derive(SimpleObject)]
pub struct Ticket {
    /// Opaque.
    id: ID,
    /// Signed, compact, verifiable offline; what the QR code shows.
    token: String,
    /// The seat it admits to; null for a place of an area.
    seat: Option<BookedSeat>,
    /// The area it admits to; null for a seat.
    area: Option<BookedArea>,
    /// Whether it was voided and no longer admits.
    void: bool,
    /// When it was checked in, UTC; null before.
    used_at: Option<Timestamp>,
    /// The gate that checked it in; null before.
    used_gate: Option<String>,
}

impl Ticket {
    /// A ticket of `item`.
    pub fn new(ticket: &pb::Ticket, item: Option<&pb::BookingItem>) -> Self {
        Self {
            id: ID::from(&ticket.id),
            token: ticket.token.clone(),
            seat: item.and_then(seat),
            area: item.and_then(area),
            void: ticket.void,
            used_at: Timestamp::of(ticket.used_at.as_ref()),
            used_gate: (!ticket.used_gate.is_empty()).then(|| ticket.used_gate.clone()),
        }
    }
}

/// Places of one event, all or nothing, for one customer.
#[derive(Clone)]
pub struct Booking(pub pb::Booking);

/// Places of one event, all or nothing, for one customer.
#[Object]
impl Booking {
    /// Opaque.
    pub async fn id(&self) -> ID {
        ID::from(&self.0.id)
    }

    /// Where it stands; a lapsed hold reads EXPIRED.
    async fn state(&self) -> Result<BookingState, Fault> {
        self.0.state().try_into()
    }

    /// When the hold (or, while paying, its grace) ends, UTC; null in other states.
    async fn expires_at(&self) -> Option<Timestamp> {
        Timestamp::of(self.0.expires_at.as_ref())
    }

    /// When it was made, UTC.
    async fn created_at(&self) -> Timestamp {
        Timestamp::required(self.0.created_at.as_ref())
    }

    /// Whose it is: the subject of that customer's token.
    async fn customer_id(&self) -> &str {
        &self.0.customer_id
    }

    /// The event.
    async fn event(&self, ctx: &Context<'_>) -> Option<Event> {
        nullable(ctx, event::find(ctx, &ID::from(&self.0.event_id)).await).flatten()
    }

    /// What all of it cost when it was held.
    async fn total(&self) -> Money {
        self.0.total.clone().unwrap_or_default().into()
    }

    /// Seats and places, in the order asked for.
    async fn items(&self) -> Vec<BookingItem> {
        self.0.items.iter().map(item).collect()
    }

    /// Minor units that went back so far; what is still on its way stands in `refunds`.
    async fn refunded_minor(&self) -> BigInt {
        BigInt(refund::refunded_minor(&self.0))
    }

    /// Money that was asked to go back, in that order.
    async fn refunds(&self) -> Result<Vec<Refund>, Fault> {
        self.0.refunds.iter().map(Refund::try_from).collect()
    }

    /// Its payment; null while payment has not heard of the booking.
    async fn payment(&self, ctx: &Context<'_>) -> Option<Payment> {
        nullable(ctx, payment::of_booking(ctx, &self.0.id).await).flatten()
    }

    /// One ticket per item once confirmed, in item order; empty before.
    async fn tickets(&self) -> Vec<Ticket> {
        self.0.tickets.iter().map(|ticket| self.ticket(ticket)).collect()
    }
}

impl Booking {
    fn ticket(&self, ticket: &pb::Ticket) -> Ticket {
        Ticket::new(ticket, self.0.items.iter().find(|item| item.id == ticket.item_id))
    }
}

fn item(item: &pb::BookingItem) -> BookingItem {
    BookingItem {
        id: ID::from(&item.id),
        seat: seat(item),
        area: area(item),
        price: item.price.clone().unwrap_or_default().into(),
        refunded: item.refunded.clone().unwrap_or_default().into(),
        cancelled_at: Timestamp::of(item.cancelled_at.as_ref()),
    }
}

fn seat(item: &pb::BookingItem) -> Option<BookedSeat> {
    (!item.seat_id.is_empty()).then(|| BookedSeat { id: ID::from(&item.seat_id), label: item.label.clone() })
}

fn area(item: &pb::BookingItem) -> Option<BookedArea> {
    (!item.area_id.is_empty()).then(|| BookedArea { id: ID::from(&item.area_id), name: item.label.clone() })
}

/// Reads of bookings.
#[derive(Default)]
pub struct BookingQuery;

#[Object]
impl BookingQuery {
    /// One of your bookings (Admin: any); null when there is none. Needs a token.
    async fn booking(&self, ctx: &Context<'_>, #[graphql(desc = "Id of the booking.")] id: ID) -> Option<Booking> {
        nullable(ctx, find(ctx, &id).await).flatten()
    }

    /// Your bookings, newest first. Needs a token.
    async fn my_bookings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<Booking>> {
        nullable(ctx, list_own(ctx, first, after).await)
    }

    /// All bookings of an event, newest first. Admin. Null when there is no such event.
    async fn bookings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the event.")] event_id: ID,
        #[graphql(desc = "Only those in this state.")] state: Option<BookingState>,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<Booking>> {
        nullable(ctx, list_of_event(ctx, event_id, state, first, after).await).flatten()
    }
}

/// A booking the viewer may see, or nothing.
///
/// # Errors
/// UNAUTHENTICATED without a token; else as booking answers.
pub async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Booking>, Fault> {
    let caller = Viewer::of(ctx).user()?;
    let message = pb::GetBookingRequest { booking_id: id.0.clone() };
    let answer = optional(call_retried!(Api::of(ctx).clients.booking, get_booking, caller, message))?;
    Ok(answer.and_then(|answer| answer.booking).map(Booking))
}

async fn list_own(ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<Connection<Booking>, Fault> {
    let caller = Viewer::of(ctx).user()?;
    let page = PageRequest::new(ctx, "myBookings", first, after)?;
    match list(ctx, caller, page, String::new(), None).await? {
        Some(bookings) => Ok(bookings),
        None => Err(Fault::internal("own bookings were not found")),
    }
}

async fn list_of_event(
    ctx: &Context<'_>,
    event_id: ID,
    state: Option<BookingState>,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Option<Connection<Booking>>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let page = PageRequest::new(ctx, "bookings", first, after)?;
    // For booking, no event means the caller's own.
    if event_id.is_empty() {
        return Ok(None);
    }
    list(ctx, caller, page, event_id.0, state).await
}

async fn list(
    ctx: &Context<'_>,
    caller: &Caller,
    page: PageRequest,
    event_id: String,
    state: Option<BookingState>,
) -> Result<Option<Connection<Booking>>, Fault> {
    let state = state.map_or(pb::BookingState::Unspecified, pb::BookingState::from);
    let message =
        pb::ListBookingsRequest { event_id, state: state.into(), page_size: page.size, page_token: page.token.clone() };
    let answer = optional(call_retried!(Api::of(ctx).clients.booking, list_bookings, caller, message))?;
    let Some(answer) = answer else { return Ok(None) };
    let bookings = answer.bookings.into_iter().map(Booking).collect();
    page.connection(ctx, bookings, &answer.tokens, answer.has_more).map(Some)
}
