//! The schema by feature: types, inputs, resolvers and loaders of one thing together. Resolvers translate and delegate.

pub mod booking;
pub mod booking_commands;
pub mod check_in;
pub mod event;
pub mod event_commands;
pub mod event_search;
pub mod history;
pub mod loaders;
pub mod node;
pub mod page;
pub mod payload;
pub mod payment;
pub mod price;
pub mod refund;
pub mod sales_report;
pub mod scalars;
pub mod seat_map;
pub mod stuck;
pub mod venue;

use std::sync::Arc;

use async_graphql::Context;

use crate::cache::Catalog;
use crate::clients::Clients;
use crate::cursor::Cursors;

/// What every resolver may need, shared by all requests.
pub struct Api {
    /// The services.
    pub clients: Clients,
    /// Signs cursors.
    pub cursors: Cursors,
    /// What everybody may see of catalog, kept between requests.
    pub catalog: Arc<Catalog>,
}

impl Api {
    /// The shared part of a request.
    pub fn of<'a>(ctx: &Context<'a>) -> &'a Self {
        ctx.data_unchecked::<Arc<Self>>()
    }
}
