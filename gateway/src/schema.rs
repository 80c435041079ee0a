//! The one schema: roots merged from the features, and its text form.

use async_graphql::{EmptySubscription, MergedObject, SDLExportOptions};

use crate::graphql::booking::BookingQuery;
use crate::graphql::booking_commands::BookingMutation;
use crate::graphql::check_in::CheckInMutation;
use crate::graphql::event::EventQuery;
use crate::graphql::event_commands::EventMutation;
use crate::graphql::history::HistoryQuery;
use crate::graphql::node::NodeQuery;
use crate::graphql::refund::RefundMutation;
use crate::graphql::sales_report::SalesQuery;
use crate::graphql::stuck::{StuckMutation, StuckQuery};
use crate::graphql::venue::{VenueMutation, VenueQuery};

/// Everything that can be read.
#[derive(MergedObject, Default)]
pub struct Query(EventQuery, VenueQuery, BookingQuery, HistoryQuery, SalesQuery, StuckQuery, NodeQuery);

/// Everything that can be done: one per request. A refusal that was to be expected stands in `userErrors` and leaves the object null.
#[derive(MergedObject, Default)]
pub struct Mutation(BookingMutation, RefundMutation, CheckInMutation, EventMutation, StuckMutation, VenueMutation);

/// The schema of the gateway.
pub type Schema = async_graphql::Schema<Query, Mutation, EmptySubscription>;

/// Builds the schema; suggestions and introspection only where `open`.
pub fn build(open: bool) -> Schema {
    let builder = Schema::build(Query::default(), Mutation::default(), EmptySubscription);
    if open { builder.finish() } else { builder.disable_introspection().disable_suggestions().finish() }
}

/// The schema as text, as it stands in `gateway/schema.graphql`.
pub fn sdl() -> String {
    build(true).sdl_with_options(SDLExportOptions::new().use_space_ident().prefer_single_line_descriptions())
}
