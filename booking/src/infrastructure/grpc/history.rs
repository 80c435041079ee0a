//! Histories for those who answer for what happened.

use common::clock::to_wire;
use common::error::{ErrorKind, status};
use common::ids::{EventId, SeatId};
use common::page;
use common::proto::booking::v1::{BookingState, HistoryEntry, ListBookingHistoryRequest, ListSeatHistoryRequest};
use sea_orm::DbErr;
use tonic::Status;

use super::Api;
use super::parse::{booking_id, db_status, invalid, not_found, page_size, state_of};
use crate::infrastructure::store::{HistoryPage, HistoryRow};

/// A page as either answer carries it.
pub(super) struct Entries {
    pub entries: Vec<HistoryEntry>,
    pub tokens: Vec<String>,
    pub has_more: bool,
}

impl Api {
    pub(super) async fn booking_history(&self, request: ListBookingHistoryRequest) -> Result<Entries, Status> {
        let booking = booking_id(&request.booking_id)?;
        let page = page_of(request.page_size, &request.page_token)?;
        let rows = self.store.booking_history(booking, page).await.map_err(db_status)?;
        // Every booking has a first transition.
        if rows.is_empty() && page.after == 0 {
            return Err(not_found());
        }
        entries(rows, request.page_size)
    }

    pub(super) async fn seat_history(&self, request: ListSeatHistoryRequest) -> Result<Entries, Status> {
        let event = EventId::parse(&request.event_id).ok_or_else(|| missing("event_id", "no such event"))?;
        let seat = SeatId::parse(&request.seat_id).ok_or_else(no_seat)?;
        let page = page_of(request.page_size, &request.page_token)?;
        let rows = self.store.seat_history(event, seat, page).await.map_err(db_status)?;
        // A seat nobody ever had has an empty history, one that is not there has none.
        if rows.is_empty() && !self.store.knows_seat(event, seat).await.map_err(db_status)? {
            return Err(no_seat());
        }
        entries(rows, request.page_size)
    }
}

fn missing(field: &str, message: &str) -> Status {
    status(ErrorKind::NotFound, "NOT_FOUND", message, Some(field.into()), Default::default())
}

fn no_seat() -> Status {
    missing("seat_id", "no such seat")
}

/// One row more than asked for, to see whether more follow.
fn page_of(size: u32, token: &str) -> Result<HistoryPage, Status> {
    let after = match token {
        "" => 0,
        token => page::key(token).ok_or_else(|| invalid("page_token", "not a page token of this list"))?,
    };
    Ok(HistoryPage { after, limit: page_size(size)? + 1 })
}

fn entries(mut rows: Vec<HistoryRow>, size: u32) -> Result<Entries, Status> {
    let has_more = page::cut(&mut rows, size);
    let tokens = rows.iter().map(|row| page::token(&row.position)).collect();
    let entries = rows.into_iter().map(entry).collect::<Result<_, _>>().map_err(db_status)?;
    Ok(Entries { entries, tokens, has_more })
}

fn entry(row: HistoryRow) -> Result<HistoryEntry, DbErr> {
    let from = if row.from.is_empty() { BookingState::Unspecified } else { state_of(&row.from)? };
    Ok(HistoryEntry {
        at: Some(to_wire(row.at)),
        from: from.into(),
        to: state_of(&row.to)?.into(),
        cause: row.cause,
        actor: row.actor,
        trace_id: row.trace_id,
        booking_id: row.booking_id.to_string(),
        item_id: row.item_id.map(|id| id.to_string()).unwrap_or_default(),
        detail: row.detail,
    })
}
