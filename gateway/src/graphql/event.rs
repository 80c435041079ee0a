//! Events: the type, its nested reads, and the queries.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};
use common::proto::catalog::v1 as pb;

use super::event_search::{self, EventFilter};
use super::loaders::Loaders;
use super::page::Connection;
use super::price::{Money, PriceRange};
use super::scalars::{BigInt, Timestamp};
use super::seat_map::{self, SeatMap};
use super::venue::Venue;
use crate::error::{Fault, nullable};

/// Where an event stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventStatus {
    /// Not shown to customers, may change freely.
    Draft,
    /// On offer.
    Published,
    /// Called off; final.
    Cancelled,
    /// Over; final.
    Completed,
}

impl From<EventStatus> for pb::EventStatus {
    fn from(status: EventStatus) -> Self {
        match status {
            EventStatus::Draft => Self::Draft,
            EventStatus::Published => Self::Published,
            EventStatus::Cancelled => Self::Cancelled,
            EventStatus::Completed => Self::Completed,
        }
    }
}

impl TryFrom<pb::EventStatus> for EventStatus {
    type Error = Fault;

    fn try_from(status: pb::EventStatus) -> Result<Self, Fault> {
        Ok(match status {
            pb::EventStatus::Unspecified => return Err(Fault::internal("event without a status")),
            pb::EventStatus::Draft => Self::Draft,
            pb::EventStatus::Published => Self::Published,
            pb::EventStatus::Cancelled => Self::Cancelled,
            pb::EventStatus::Completed => Self::Completed,
        })
    }
}

/// Places of an event: free + held + sold = total.
#[derive(SimpleObject, Debug, Clone, PartialEq, Eq)]
pub struct Availability {
    /// Can be held now, if on sale.
    pub free: i32,
    /// Held or being paid.
    pub held: i32,
    /// Sold.
    pub sold: i32,
    /// Seats plus area places.
    pub total: i32,
}

/// How much of a price comes back when a customer cancels.
#[derive(SimpleObject)]
pub struct CancellationPolicy {
    /// By hours before the start, most first; outside every bracket nothing comes back.
    brackets: Vec<CancellationBracket>,
    /// Kept from each refund, minor units of the event's currency.
    fee_minor: BigInt,
}

/// One step of a cancellation policy.
#[derive(SimpleObject)]
pub struct CancellationBracket {
    /// Applies from this many hours before the start.
    hours_before: i32,
    /// Percent that comes back, 0 to 100.
    percent: i32,
}

/// Something to go to.
#[derive(Clone)]
pub struct Event(pub Arc<pb::Event>);

/// Something to go to: a concert, a play, a match.
#[Object]
impl Event {
    /// Opaque.
    pub async fn id(&self) -> ID {
        ID::from(&self.0.id)
    }

    /// Title.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// Free text; may be empty.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// Kind of event, for instance `concert`; may be empty.
    async fn category(&self) -> &str {
        &self.0.category
    }

    /// Names of those who perform.
    async fn performers(&self) -> &[String] {
        &self.0.performers
    }

    /// Absolute http(s) URL of an image.
    async fn image_url(&self) -> Option<&str> {
        (!self.0.image_url.is_empty()).then_some(&self.0.image_url)
    }

    /// Start, UTC.
    async fn starts_at(&self) -> Timestamp {
        Timestamp::required(self.0.starts_at.as_ref())
    }

    /// End, UTC.
    async fn ends_at(&self) -> Option<Timestamp> {
        Timestamp::of(self.0.ends_at.as_ref())
    }

    /// When doors open, UTC.
    async fn doors_at(&self) -> Option<Timestamp> {
        Timestamp::of(self.0.doors_at.as_ref())
    }

    /// IANA time zone of its venue, to show times in.
    async fn time_zone(&self) -> &str {
        self.0.venue.as_ref().map_or("UTC", |venue| &venue.time_zone)
    }

    /// Where it stands.
    async fn status(&self) -> Result<EventStatus, Fault> {
        self.0.status().try_into()
    }

    /// Where it takes place.
    async fn venue(&self) -> Venue {
        Venue(self.0.venue.clone().unwrap_or_default())
    }

    /// First instant of sale, UTC; null: from publication on.
    async fn sale_starts_at(&self) -> Option<Timestamp> {
        Timestamp::of(self.0.sale_starts_at.as_ref())
    }

    /// End of sale, UTC.
    async fn sale_ends_at(&self) -> Option<Timestamp> {
        Timestamp::of(self.0.sale_ends_at.as_ref())
    }

    /// Most places one customer may hold or have at once.
    async fn per_customer_limit(&self) -> i32 {
        self.0.per_customer_limit.cast_signed()
    }

    /// Whether `holdSeats` refuses picks that leave a single seat alone without need (ORPHAN_SEAT).
    async fn forbid_orphan_seats(&self) -> bool {
        self.0.forbid_orphan_seats
    }

    /// ISO 4217 code of all its prices.
    async fn currency(&self) -> &str {
        &self.0.currency
    }

    /// Grows with every change; give it to `updateEvent` as `expectedVersion`.
    async fn version(&self) -> i32 {
        i32::try_from(self.0.version).unwrap_or(i32::MAX)
    }

    /// The seating plan it sells.
    async fn seating_plan_id(&self) -> ID {
        ID::from(&self.0.seating_plan_id)
    }

    /// How much comes back when a customer cancels; null: all of it, until the start.
    async fn cancellation_policy(&self) -> Option<CancellationPolicy> {
        self.0.cancellation_policy.as_ref().map(policy)
    }

    /// Cheapest and dearest seat or place; null without prices.
    async fn price_range(&self) -> Option<PriceRange> {
        let (min, max) = (self.0.price_min.clone()?, self.0.price_max.clone()?);
        Some(PriceRange { min: Money::from(min), max: Money::from(max) })
    }

    /// Free, held and sold places, now.
    async fn availability(&self, ctx: &Context<'_>) -> Option<Availability> {
        nullable(ctx, availability(ctx, &self.0).await)
    }

    /// Every seat and area with its price and state, now; null without a seating plan. Large: ask for it per event, not in lists.
    async fn seat_map(&self, ctx: &Context<'_>) -> Option<SeatMap> {
        nullable(ctx, seat_map::of_event(ctx, &self.0).await).flatten()
    }
}

fn policy(policy: &pb::CancellationPolicy) -> CancellationPolicy {
    let bracket = |bracket: &pb::CancellationBracket| CancellationBracket {
        hours_before: bracket.hours_before.cast_signed(),
        percent: bracket.percent.cast_signed(),
    };
    CancellationPolicy { brackets: policy.brackets.iter().map(bracket).collect(), fee_minor: BigInt(policy.fee_minor) }
}

/// Places of an event; one that booking has not heard of yet is wholly free.
///
/// # Errors
/// As booking answers.
pub async fn availability(ctx: &Context<'_>, event: &pb::Event) -> Result<Availability, Fault> {
    let known = Loaders::of(ctx).availability.load_one(event.id.clone()).await?;
    Ok(match known {
        Some(places) => Availability {
            free: places.free.cast_signed(),
            held: places.held.cast_signed(),
            sold: places.sold.cast_signed(),
            total: places.total.cast_signed(),
        },
        None => {
            let total = event.capacity.cast_signed();
            Availability { free: total, held: 0, sold: 0, total }
        }
    })
}

/// An event the viewer may see, or nothing.
///
/// # Errors
/// As catalog answers.
pub async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Event>, Fault> {
    Ok(Loaders::of(ctx).events.load_one(id.0.clone()).await?.map(Event))
}

/// Reads of events.
#[derive(Default)]
pub struct EventQuery;

#[Object]
impl EventQuery {
    /// Events by start. Published ones, unless an Admin asks for another status.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to search for.")] filter: Option<EventFilter>,
        #[graphql(desc = "Admin: events of this status, for instance drafts.")] status: Option<EventStatus>,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<Event>> {
        nullable(ctx, event_search::search(ctx, filter.unwrap_or_default(), status, first, after).await)
    }

    /// One event; null when there is none or it is not for you to see.
    async fn event(&self, ctx: &Context<'_>, #[graphql(desc = "Id of the event.")] id: ID) -> Option<Event> {
        nullable(ctx, find(ctx, &id).await).flatten()
    }
}
