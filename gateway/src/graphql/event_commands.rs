//! Changes of events, all by Admin.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object};
use common::proto::catalog::v1 as pb;

use super::Api;
use super::event::Event;
use super::payload::{answer, optional_request_id, payload, present, unsigned};
use super::price::{PriceInput, SeatPriceInput, own_list, price_list};
use super::scalars::{BigInt, Timestamp};
use crate::clients::call_keyed;
use crate::error::{Failure, UserError};
use crate::viewer::Viewer;

/// How much of a price comes back when a customer cancels.
#[derive(InputObject)]
pub struct CancellationPolicyInput {
    /// By hours before the start; outside every bracket nothing comes back.
    brackets: Vec<CancellationBracketInput>,
    /// Kept from each refund, minor units of the event's currency; 0 when absent.
    fee_minor: Option<BigInt>,
}

/// One step of a cancellation policy.
#[derive(InputObject)]
pub struct CancellationBracketInput {
    /// Applies from this many hours before the start.
    hours_before: i32,
    /// Percent that comes back, 0 to 100.
    percent: i32,
}

/// An event to store as a draft.
#[derive(InputObject)]
pub struct CreateEventInput {
    /// Where it takes place.
    venue_id: ID,
    /// What it sells; a plan of that venue.
    seating_plan_id: ID,
    /// 1 to 300 characters.
    title: String,
    /// Free text, at most 10,000 characters.
    description: Option<String>,
    /// Kind of event, for instance `concert`; at most 100 characters.
    category: Option<String>,
    /// At most 50 names of those who perform.
    performers: Option<Vec<String>>,
    /// Absolute http(s) URL of an image.
    image_url: Option<String>,
    /// Start.
    starts_at: Timestamp,
    /// End, after the start.
    ends_at: Option<Timestamp>,
    /// When doors open, not after the start.
    doors_at: Option<Timestamp>,
    /// First instant of sale; absent: from publication on.
    sale_starts_at: Option<Timestamp>,
    /// End of sale; absent: the start.
    sale_ends_at: Option<Timestamp>,
    /// Most places one customer may hold or have at once, 1 to 100; 10 when absent.
    per_customer_limit: Option<i32>,
    /// ISO 4217 code of all prices.
    currency: String,
    /// Prices of categories and areas.
    prices: Vec<PriceInput>,
    /// Prices of single seats, over those of their categories.
    seat_prices: Option<Vec<SeatPriceInput>>,
    /// Absent: everything comes back until the start.
    cancellation_policy: Option<CancellationPolicyInput>,
    /// Whether `holdSeats` refuses picks that leave a single seat alone without need (ORPHAN_SEAT); false when absent.
    forbid_orphan_seats: Option<bool>,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

/// A change of an event; absent fields stay as they are.
#[derive(InputObject)]
pub struct UpdateEventInput {
    /// The event.
    event_id: ID,
    /// The `version` you have seen; refused with VERSION_CONFLICT when it was changed since.
    expected_version: i32,
    /// New title.
    title: Option<String>,
    /// New description.
    description: Option<String>,
    /// New category.
    category: Option<String>,
    /// New image URL.
    image_url: Option<String>,
    /// New start.
    starts_at: Option<Timestamp>,
    /// New end.
    ends_at: Option<Timestamp>,
    /// New opening of doors.
    doors_at: Option<Timestamp>,
    /// New first instant of sale.
    sale_starts_at: Option<Timestamp>,
    /// New end of sale.
    sale_ends_at: Option<Timestamp>,
    /// New limit.
    per_customer_limit: Option<i32>,
    /// New policy, for bookings made from then on.
    cancellation_policy: Option<CancellationPolicyInput>,
    /// Whether `holdSeats` refuses picks that leave a single seat alone without need.
    forbid_orphan_seats: Option<bool>,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

/// A new price list, in place of the old one.
#[derive(InputObject)]
pub struct SetPricesInput {
    /// The event.
    event_id: ID,
    /// Prices of categories and areas.
    prices: Vec<PriceInput>,
    /// Prices of single seats, over those of their categories.
    seat_prices: Option<Vec<SeatPriceInput>>,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

/// Which event to publish.
#[derive(InputObject)]
pub struct PublishEventInput {
    /// The event.
    event_id: ID,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

/// Which event to cancel.
#[derive(InputObject)]
pub struct CancelEventInput {
    /// The event.
    event_id: ID,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

payload! {
    /// Answer of `createEvent`.
    CreateEventPayload {
        /// The draft; null when refused.
        event: Event
    }
}

payload! {
    /// Answer of `updateEvent`.
    UpdateEventPayload {
        /// The changed event; null when refused.
        event: Event
    }
}

payload! {
    /// Answer of `setPrices`.
    SetPricesPayload {
        /// The changed event; null when refused.
        event: Event
    }
}

payload! {
    /// Answer of `publishEvent`.
    PublishEventPayload {
        /// The published event; null when refused.
        event: Event
    }
}

payload! {
    /// Answer of `cancelEvent`.
    CancelEventPayload {
        /// The cancelled event; null when refused.
        event: Event
    }
}

/// Changes of events.
#[derive(Default)]
pub struct EventMutation;

#[Object]
impl EventMutation {
    /// Stores a draft. Admin.
    async fn create_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The event.")] input: CreateEventInput,
    ) -> Option<CreateEventPayload> {
        answer(ctx, create(ctx, input).await)
    }

    /// Changes an event if nobody else did since. Admin.
    async fn update_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The change.")] input: UpdateEventInput,
    ) -> Option<UpdateEventPayload> {
        answer(ctx, update(ctx, input).await)
    }

    /// Replaces the price list, for bookings made from then on. Admin.
    async fn set_prices(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The list.")] input: SetPricesInput,
    ) -> Option<SetPricesPayload> {
        answer(ctx, set_prices(ctx, input).await)
    }

    /// Puts a draft on offer; it can be booked when this returns. Publishing again changes nothing. Admin.
    async fn publish_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which event.")] input: PublishEventInput,
    ) -> Option<PublishEventPayload> {
        answer(ctx, publish(ctx, input).await)
    }

    /// Calls an event off, for good; every booking of it is cancelled and refunded. Admin.
    async fn cancel_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which event.")] input: CancelEventInput,
    ) -> Option<CancelEventPayload> {
        answer(ctx, cancel(ctx, input).await)
    }
}

async fn create(ctx: &Context<'_>, input: CreateEventInput) -> Result<Event, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let request_id = optional_request_id(input.idempotency_key)?;
    let prices = input.prices.len();
    let event = pb::NewEvent {
        venue_id: input.venue_id.0,
        seating_plan_id: input.seating_plan_id.0,
        title: input.title,
        description: input.description.unwrap_or_default(),
        category: input.category.unwrap_or_default(),
        performers: input.performers.unwrap_or_default(),
        image_url: input.image_url.unwrap_or_default(),
        starts_at: Some(input.starts_at.to_wire()),
        ends_at: input.ends_at.map(Timestamp::to_wire),
        doors_at: input.doors_at.map(Timestamp::to_wire),
        sale_starts_at: input.sale_starts_at.map(Timestamp::to_wire),
        sale_ends_at: input.sale_ends_at.map(Timestamp::to_wire),
        per_customer_limit: limit(input.per_customer_limit)?.unwrap_or(0),
        currency: input.currency,
        prices: price_list(input.prices, input.seat_prices)?,
        cancellation_policy: input.cancellation_policy.map(policy).transpose()?,
        forbid_orphan_seats: input.forbid_orphan_seats.unwrap_or_default(),
    };
    let message = pb::CreateEventRequest { event: Some(event), request_id };
    let answer = call_keyed!(Api::of(ctx).clients.catalog, create_event, caller, message);
    let answer = answer.map_err(|status| in_price_lists(status.into(), prices))?;
    shown(answer.event)
}

async fn update(ctx: &Context<'_>, input: UpdateEventInput) -> Result<Event, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let message = pb::UpdateEventRequest {
        event_id: input.event_id.0,
        expected_version: unsigned(input.expected_version, &["expectedVersion"])?.into(),
        title: input.title,
        description: input.description,
        category: input.category,
        image_url: input.image_url,
        starts_at: input.starts_at.map(Timestamp::to_wire),
        ends_at: input.ends_at.map(Timestamp::to_wire),
        doors_at: input.doors_at.map(Timestamp::to_wire),
        sale_starts_at: input.sale_starts_at.map(Timestamp::to_wire),
        sale_ends_at: input.sale_ends_at.map(Timestamp::to_wire),
        per_customer_limit: limit(input.per_customer_limit)?,
        cancellation_policy: input.cancellation_policy.map(policy).transpose()?,
        forbid_orphan_seats: input.forbid_orphan_seats,
        request_id: optional_request_id(input.idempotency_key)?,
    };
    let event_id = message.event_id.clone();
    let answer = call_keyed!(Api::of(ctx).clients.catalog, update_event, caller, message);
    refresh(ctx, &event_id).await;
    shown(answer?.event)
}

async fn set_prices(ctx: &Context<'_>, input: SetPricesInput) -> Result<Event, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let prices = input.prices.len();
    let message = pb::SetPricesRequest {
        event_id: input.event_id.0,
        prices: price_list(input.prices, input.seat_prices)?,
        request_id: optional_request_id(input.idempotency_key)?,
    };
    let event_id = message.event_id.clone();
    let answer = call_keyed!(Api::of(ctx).clients.catalog, set_prices, caller, message);
    refresh(ctx, &event_id).await;
    let answer = answer.map_err(|status| in_price_lists(status.into(), prices))?;
    shown(answer.event)
}

async fn publish(ctx: &Context<'_>, input: PublishEventInput) -> Result<Event, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let request_id = optional_request_id(input.idempotency_key)?;
    let message = pb::PublishEventRequest { event_id: input.event_id.0.clone(), request_id };
    let answer = call_keyed!(Api::of(ctx).clients.catalog, publish_event, caller, message);
    refresh(ctx, &input.event_id).await;
    shown(answer?.event)
}

async fn cancel(ctx: &Context<'_>, input: CancelEventInput) -> Result<Event, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let request_id = optional_request_id(input.idempotency_key)?;
    let message = pb::CancelEventRequest { event_id: input.event_id.0.clone(), request_id };
    let answer = call_keyed!(Api::of(ctx).clients.catalog, cancel_event, caller, message);
    refresh(ctx, &input.event_id).await;
    shown(answer?.event)
}

/// Lets everybody see a change from now on; also after a failure, which may have come after the change.
async fn refresh(ctx: &Context<'_>, event_id: &str) {
    Api::of(ctx).catalog.changed(event_id).await;
}

fn shown(event: Option<pb::Event>) -> Result<Event, Failure> {
    Ok(Event(Arc::new(present(event)?)))
}

fn limit(limit: Option<i32>) -> Result<Option<u32>, UserError> {
    // Catalog reads 0 as "the default"; whoever writes a 0 means none at all.
    if limit == Some(0) {
        return Err(UserError::invalid(&["perCustomerLimit"], "a limit is between 1 and 100"));
    }
    limit.map(|limit| unsigned(limit, &["perCustomerLimit"])).transpose()
}

fn policy(input: CancellationPolicyInput) -> Result<pb::CancellationPolicy, UserError> {
    let mut brackets = Vec::with_capacity(input.brackets.len());
    for (at, bracket) in input.brackets.into_iter().enumerate() {
        let field = |name| ["cancellationPolicy".to_owned(), "brackets".into(), at.to_string(), String::from(name)];
        let number = |value, name| unsigned(value, &field(name).each_ref().map(String::as_str));
        let hours_before = number(bracket.hours_before, "hoursBefore")?;
        let percent = number(bracket.percent, "percent")?;
        brackets.push(pb::CancellationBracket { hours_before, percent });
    }
    Ok(pb::CancellationPolicy { brackets, fee_minor: input.fee_minor.unwrap_or_default().0 })
}

fn in_price_lists(failure: Failure, prices: usize) -> Failure {
    match failure {
        Failure::Refused(refusal) => Failure::Refused(own_list(refusal, prices)),
        Failure::Broken(fault) => Failure::Broken(fault),
    }
}
