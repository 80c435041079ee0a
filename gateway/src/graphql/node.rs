//! Relay's `node` and `nodes`: ids are unique across kinds, so each kind is asked in turn.

use async_graphql::{Context, ID, Interface, Object};
use common::page::PAGE_SIZE_MAX;
use futures_util::future::try_join_all;

use super::booking::{self, Booking};
use super::event::{self, Event};
use super::venue::{self, Venue};
use crate::error::{Code, Fault, nullable};
use crate::viewer::Viewer;

/// Anything that can be read again by its id.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Opaque."))]
pub enum Node {
    /// An event.
    Event(Event),
    /// A venue.
    Venue(Venue),
    /// A booking of the viewer.
    Booking(Booking),
}

/// Reads by id alone.
#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The event, venue or own booking of this id; null when there is none.
    async fn node(&self, ctx: &Context<'_>, #[graphql(desc = "Any id.")] id: ID) -> Option<Node> {
        nullable(ctx, find(ctx, &id).await).flatten()
    }

    /// What these ids stand for, in their order, null where there is nothing.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "At most 100 ids.")] ids: Vec<ID>,
    ) -> Option<Vec<Option<Node>>> {
        nullable(ctx, find_all(ctx, &ids).await)
    }
}

async fn find_all(ctx: &Context<'_>, ids: &[ID]) -> Result<Vec<Option<Node>>, Fault> {
    if ids.len() > PAGE_SIZE_MAX as usize {
        let text = format!("argument ids: {} ids are more than {PAGE_SIZE_MAX}", ids.len());
        return Err(Fault::new(Code::BadUserInput, text));
    }
    try_join_all(ids.iter().map(|id| find(ctx, id))).await
}

async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>, Fault> {
    if let Some(event) = event::find(ctx, id).await? {
        return Ok(Some(Node::Event(event)));
    }
    if let Some(venue) = venue::find(ctx, id).await? {
        return Ok(Some(Node::Venue(venue)));
    }
    if !Viewer::of(ctx).is_known() {
        return Ok(None);
    }
    Ok(booking::find(ctx, id).await?.map(Node::Booking))
}
