//! Relay connections over the services' keyset pages.

use async_graphql::{Context, OutputType, SimpleObject};
use common::page;

use super::Api;
use super::booking::Booking;
use super::event::Event;
use super::history::HistoryEntry;
use super::stuck::StuckPayment;
use super::venue::{SeatingPlan, Venue};
use crate::error::{Code, Fault};

/// Rows of a page when `first` is not given.
pub const PAGE_SIZE_DEFAULT: u32 = 20;

/// A page of a list.
#[derive(SimpleObject)]
#[graphql(
    concrete(name = "EventConnection", params(Event)),
    concrete(name = "BookingConnection", params(Booking)),
    concrete(name = "HistoryConnection", params(HistoryEntry)),
    concrete(name = "StuckPaymentConnection", params(StuckPayment)),
    concrete(name = "VenueConnection", params(Venue)),
    concrete(name = "SeatingPlanConnection", params(SeatingPlan))
)]
pub struct Connection<T: OutputType>
where
    Edge<T>: OutputType,
{
    /// The rows, in the list's order.
    pub edges: Vec<Edge<T>>,
    /// How to go on.
    pub page_info: PageInfo,
}

/// A row and where it stands.
#[derive(SimpleObject)]
#[graphql(
    concrete(name = "EventEdge", params(Event)),
    concrete(name = "BookingEdge", params(Booking)),
    concrete(name = "HistoryEdge", params(HistoryEntry)),
    concrete(name = "StuckPaymentEdge", params(StuckPayment)),
    concrete(name = "VenueEdge", params(Venue)),
    concrete(name = "SeatingPlanEdge", params(SeatingPlan))
)]
pub struct Edge<T: OutputType> {
    /// Opaque; give it as `after` to continue behind this row.
    pub cursor: String,
    /// The row.
    pub node: T,
}

/// How to go on from a page.
#[derive(SimpleObject, Debug, Clone, PartialEq, Eq)]
pub struct PageInfo {
    /// Whether more rows follow.
    pub has_next_page: bool,
    /// Whether this page was continued from another.
    pub has_previous_page: bool,
    /// Cursor of the first row; null on an empty page.
    pub start_cursor: Option<String>,
    /// Where to continue; null on an empty last page.
    pub end_cursor: Option<String>,
}

/// Which page was asked for.
pub struct PageRequest {
    /// Name of the list its cursors are bound to.
    list: &'static str,
    /// Rows, 1 to 100.
    pub size: u32,
    /// The service's token to continue from; empty for the first page.
    pub token: String,
}

impl PageRequest {
    /// Reads `first` and `after`.
    ///
    /// # Errors
    /// BAD_USER_INPUT naming the argument: `first` outside 1 to 100, or an `after` that is no cursor of this list.
    pub fn new(
        ctx: &Context<'_>,
        list: &'static str,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Self, Fault> {
        let size = match first {
            None => PAGE_SIZE_DEFAULT,
            Some(first) => u32::try_from(first).ok().and_then(page::page_size).ok_or_else(|| {
                let text = format!("argument first: {first} is not between 1 and {}", page::PAGE_SIZE_MAX);
                Fault::new(Code::BadUserInput, text)
            })?,
        };
        let token = match after {
            None => String::new(),
            Some(cursor) => Api::of(ctx)
                .cursors
                .open(list, &cursor)
                .ok_or_else(|| Fault::new(Code::BadUserInput, "argument after: not a cursor of this list"))?,
        };
        Ok(Self { list, size, token })
    }

    /// The cursor of a row whose service named it `token`.
    pub fn cursor(&self, ctx: &Context<'_>, token: &str) -> String {
        Api::of(ctx).cursors.seal(self.list, token)
    }

    /// Makes the answer of rows and their tokens.
    ///
    /// # Errors
    /// INTERNAL when the service's tokens do not match its rows.
    pub fn connection<T: OutputType>(
        &self,
        ctx: &Context<'_>,
        rows: Vec<T>,
        tokens: &[String],
        has_more: bool,
    ) -> Result<Connection<T>, Fault>
    where
        Edge<T>: OutputType,
    {
        if rows.len() != tokens.len() {
            return Err(Fault::internal(format!("{} rows came with {} tokens", rows.len(), tokens.len())));
        }
        let edges: Vec<Edge<T>> =
            rows.into_iter().zip(tokens).map(|(node, token)| Edge { cursor: self.cursor(ctx, token), node }).collect();
        let page_info = PageInfo {
            has_next_page: has_more,
            has_previous_page: !self.token.is_empty(),
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Ok(Connection { edges, page_info })
    }
}
