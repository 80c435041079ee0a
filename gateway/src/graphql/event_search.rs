//! Searching events: catalog filters and pages; "has free seats" is known to booking alone and applied here, page by page.

use std::sync::Arc;

use async_graphql::{Context, InputObject};
use common::proto::catalog::v1 as pb;
use futures_util::future::try_join_all;

use super::Api;
use super::event::{Event, EventStatus, availability};
use super::page::{Connection, PageRequest};
use super::scalars::{BigInt, Timestamp};
use crate::cache::SearchPage;
use crate::clients::call_retried;
use crate::error::Fault;
use crate::viewer::Viewer;

/// Pages of catalog read at most for one page of events with (or without) free seats.
const PAGES_MAX: usize = 10;

/// What to search for; absent fields do not restrict.
#[derive(InputObject, Default)]
pub struct EventFilter {
    /// Words of title, description, performers, venue name or city; all must occur, the last as a prefix.
    text: Option<String>,
    /// Exact category, case-insensitive.
    category: Option<String>,
    /// Exact city, case-insensitive.
    city: Option<String>,
    /// Starts at or after.
    from: Option<Timestamp>,
    /// Starts before.
    to: Option<Timestamp>,
    /// Has a price of at least this, minor units.
    min_price: Option<BigInt>,
    /// Has a price of at most this, minor units.
    max_price: Option<BigInt>,
    /// Has at least one free place (true), or none (false).
    has_free_seats: Option<bool>,
}

/// A page of events.
///
/// # Errors
/// BAD_USER_INPUT for `first` and `after`; FORBIDDEN or UNAUTHENTICATED for a status asked for without the role Admin.
pub async fn search(
    ctx: &Context<'_>,
    filter: EventFilter,
    status: Option<EventStatus>,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Connection<Event>, Fault> {
    if status.is_some() {
        Viewer::of(ctx).admin()?;
    }
    let page = PageRequest::new(ctx, "events", first, after)?;
    let has_free_seats = filter.has_free_seats;
    let request = message(filter, status, &page);
    match has_free_seats {
        None => {
            let answer = read(ctx, request).await?;
            let events = answer.events.iter().cloned().map(Event).collect();
            page.connection(ctx, events, &answer.tokens, answer.has_more)
        }
        Some(wanted) => Filtered { wanted, found: Vec::new(), last: None }.search(ctx, &page, request).await,
    }
}

fn message(filter: EventFilter, status: Option<EventStatus>, page: &PageRequest) -> pb::SearchEventsRequest {
    let status = status.map_or(pb::EventStatus::Published, pb::EventStatus::from);
    pb::SearchEventsRequest {
        text: filter.text.unwrap_or_default(),
        category: filter.category.unwrap_or_default(),
        city: filter.city.unwrap_or_default(),
        from: filter.from.map(Timestamp::to_wire),
        to: filter.to.map(Timestamp::to_wire),
        min_price: filter.min_price.map(|price| price.0),
        max_price: filter.max_price.map(|price| price.0),
        status: status.into(),
        page_size: page.size,
        page_token: page.token.clone(),
    }
}

/// Organisers see what is stored now, everybody else what is kept of it.
async fn read(ctx: &Context<'_>, request: pb::SearchEventsRequest) -> Result<Arc<SearchPage>, Fault> {
    let (api, viewer) = (Api::of(ctx), Viewer::of(ctx));
    if !viewer.is_admin() {
        return api.catalog.search(request).await;
    }
    let answer = call_retried!(api.clients.catalog, search_events, viewer.reader(), request)?;
    SearchPage::of(answer).map(Arc::new).ok_or_else(|| Fault::internal("events came without their tokens"))
}

/// A page being gathered from several pages of catalog.
struct Filtered {
    wanted: bool,
    /// Events that match, with their tokens; at most one more than the page holds.
    found: Vec<(Event, String)>,
    /// Token of the last event looked at.
    last: Option<String>,
}

impl Filtered {
    async fn search(
        mut self,
        ctx: &Context<'_>,
        page: &PageRequest,
        mut request: pb::SearchEventsRequest,
    ) -> Result<Connection<Event>, Fault> {
        let wanted = page.size as usize;
        let mut more_unread = true;
        for _ in 0..PAGES_MAX {
            let answer = read(ctx, request.clone()).await?;
            more_unread = answer.has_more;
            self.last = answer.tokens.last().cloned().or(self.last);
            self.keep(ctx, &answer).await?;
            if self.found.len() > wanted || !more_unread {
                break;
            }
            request.page_token = self.last.clone().unwrap_or_default();
        }
        // One match beyond the page proves that more follow; without one, more may follow in what is not read yet.
        let overfull = self.found.len() > wanted;
        self.found.truncate(wanted);
        let (events, tokens): (Vec<Event>, Vec<String>) = self.found.into_iter().unzip();
        let mut connection = page.connection(ctx, events, &tokens, overfull || more_unread)?;
        if !overfull && let Some(last) = &self.last {
            connection.page_info.end_cursor = Some(page.cursor(ctx, last));
        }
        Ok(connection)
    }

    async fn keep(&mut self, ctx: &Context<'_>, page: &SearchPage) -> Result<(), Fault> {
        let places = try_join_all(page.events.iter().map(|event| availability(ctx, event))).await?;
        for ((event, token), places) in page.events.iter().zip(&page.tokens).zip(places) {
            if (places.free > 0) == self.wanted {
                self.found.push((Event(event.clone()), token.clone()));
            }
        }
        Ok(())
    }
}
