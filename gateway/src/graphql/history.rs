//! What happened to a booking or a seat, step by step.

use async_graphql::{Context, ID, Object, SimpleObject};
use common::proto::booking::v1 as pb;

use super::Api;
use super::booking::BookingState;
use super::page::{Connection, PageRequest};
use super::scalars::Timestamp;
use crate::clients::call_retried;
use crate::error::{Fault, nullable, optional};
use crate::viewer::Viewer;

/// One transition of a booking, or what happened to it without one: a check-in, a refund.
#[derive(SimpleObject)]
pub struct HistoryEntry {
    /// When, UTC.
    at: Timestamp,
    /// State before; null at the beginning.
    from: Option<BookingState>,
    /// State after; the same as before when it stayed.
    to: BookingState,
    /// Why: a stable word such as `hold` or `PaymentAuthorised`.
    cause: String,
    /// Who: the subject of a token, or the name of a worker.
    actor: String,
    /// The trace it happened in; null when there was none.
    trace_id: Option<String>,
    /// The booking that changed.
    booking_id: ID,
    /// The one item it is about; null when it is about all of them.
    item_id: Option<ID>,
    /// For people, for instance `refund of 25.00 EUR` or `gate North`; null when there is nothing to add.
    detail: Option<String>,
}

impl TryFrom<pb::HistoryEntry> for HistoryEntry {
    type Error = Fault;

    fn try_from(entry: pb::HistoryEntry) -> Result<Self, Fault> {
        let began = entry.from() == pb::BookingState::Unspecified;
        let from = if began { None } else { Some(entry.from().try_into()?) };
        Ok(Self {
            at: Timestamp::required(entry.at.as_ref()),
            from,
            to: entry.to().try_into()?,
            cause: entry.cause,
            actor: entry.actor,
            trace_id: (!entry.trace_id.is_empty()).then_some(entry.trace_id),
            booking_id: ID::from(entry.booking_id),
            item_id: (!entry.item_id.is_empty()).then(|| ID::from(entry.item_id)),
            detail: (!entry.detail.is_empty()).then_some(entry.detail),
        })
    }
}

/// Reads of histories.
#[derive(Default)]
pub struct HistoryQuery;

#[Object]
impl HistoryQuery {
    /// Every transition of a booking, in order. Admin. Null when there is no such booking.
    async fn booking_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the booking.")] id: ID,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<HistoryEntry>> {
        nullable(ctx, of_booking(ctx, id, first, after).await).flatten()
    }

    /// Every transition of every booking that ever had a seat, in order. Admin. Null when the event has no such seat.
    async fn seat_history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the event.")] event_id: ID,
        #[graphql(desc = "Id of the seat.")] seat_id: ID,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<HistoryEntry>> {
        nullable(ctx, of_seat(ctx, event_id, seat_id, first, after).await).flatten()
    }
}

async fn of_booking(
    ctx: &Context<'_>,
    id: ID,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Option<Connection<HistoryEntry>>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let page = PageRequest::new(ctx, "bookingHistory", first, after)?;
    let message =
        pb::ListBookingHistoryRequest { booking_id: id.0, page_size: page.size, page_token: page.token.clone() };
    let answer = optional(call_retried!(Api::of(ctx).clients.booking, list_booking_history, caller, message))?;
    let Some(answer) = answer else { return Ok(None) };
    connection(ctx, &page, answer.entries, &answer.tokens, answer.has_more)
}

async fn of_seat(
    ctx: &Context<'_>,
    event_id: ID,
    seat_id: ID,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Option<Connection<HistoryEntry>>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let page = PageRequest::new(ctx, "seatHistory", first, after)?;
    let message = pb::ListSeatHistoryRequest {
        event_id: event_id.0,
        seat_id: seat_id.0,
        page_size: page.size,
        page_token: page.token.clone(),
    };
    let answer = optional(call_retried!(Api::of(ctx).clients.booking, list_seat_history, caller, message))?;
    let Some(answer) = answer else { return Ok(None) };
    connection(ctx, &page, answer.entries, &answer.tokens, answer.has_more)
}

fn connection(
    ctx: &Context<'_>,
    page: &PageRequest,
    entries: Vec<pb::HistoryEntry>,
    tokens: &[String],
    has_more: bool,
) -> Result<Option<Connection<HistoryEntry>>, Fault> {
    let entries = entries.into_iter().map(HistoryEntry::try_from).collect::<Result<_, _>>()?;
    page.connection(ctx, entries, tokens, has_more).map(Some)
}
