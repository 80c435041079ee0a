//! Hold, pay, release, cancel: each with an idempotency key that becomes the request id of the mesh.

use async_graphql::{Context, ID, InputObject, Object};
use common::proto::booking::v1 as pb;

use super::Api;
use super::booking::Booking;
use super::payload::{answer, payload, present, request_id, unsigned};
use crate::clients::call_retried;
use crate::error::Failure;
use crate::viewer::Viewer;

/// What to hold: seats, places of areas, or both, all of one event.
#[derive(InputObject)]
pub struct HoldSeatsInput {
    /// The event.
    event_id: ID,
    /// Distinct seats, at most 100.
    seat_ids: Option<Vec<ID>>,
    /// Distinct areas, at most 20.
    areas: Option<Vec<AreaQuantityInput>>,
    /// 1 to 255 printable characters of your choice: the same key and input return the first answer again.
    idempotency_key: String,
}

/// How many places of an area.
#[derive(InputObject)]
pub struct AreaQuantityInput {
    /// The area.
    area_id: ID,
    /// Places, 1 to 100.
    quantity: i32,
}

/// Whom to seat.
#[derive(InputObject)]
pub struct HoldBestAvailableInput {
    /// The event.
    event_id: ID,
    /// Seats, 1 to 100.
    quantity: i32,
    /// Only seats of this category, as the price list names it; of any when absent.
    category: Option<String>,
    /// With a seat for a wheelchair user, beside it seats for companions as far as there are some; false when absent.
    accessible: Option<bool>,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

/// How to pay.
#[derive(InputObject)]
pub struct PayBookingInput {
    /// The booking.
    booking_id: ID,
    /// The payment provider's token for the means of payment; may be absent, and is ignored, when the total is zero.
    payment_token: Option<String>,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

/// What to let go.
#[derive(InputObject)]
pub struct ReleaseBookingInput {
    /// The booking.
    booking_id: ID,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

/// What to cancel.
#[derive(InputObject)]
pub struct CancelBookingInput {
    /// The booking.
    booking_id: ID,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

payload! {
    /// Answer of `holdSeats`.
    HoldSeatsPayload {
        /// The booking, HELD; null when refused.
        booking: Booking
    }
}

payload! {
    /// Answer of `holdBestAvailable`.
    HoldBestAvailablePayload {
        /// The booking, HELD; null when refused.
        booking: Booking
    }
}

payload! {
    /// Answer of `payBooking`.
    PayBookingPayload {
        /// The booking, PAYING, or CONFIRMED when there was nothing to pay; null when refused.
        booking: Booking
    }
}

payload! {
    /// Answer of `releaseBooking`.
    ReleaseBookingPayload {
        /// The booking, RELEASED; null when refused.
        booking: Booking
    }
}

payload! {
    /// Answer of `cancelBooking`.
    CancelBookingPayload {
        /// The booking, CANCELLED; null when refused.
        booking: Booking
    }
}

/// Changes of bookings.
#[derive(Default)]
pub struct BookingMutation;

#[Object]
impl BookingMutation {
    /// Holds places of one event for some minutes, all or nothing. Needs a token.
    async fn hold_seats(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to hold.")] input: HoldSeatsInput,
    ) -> Option<HoldSeatsPayload> {
        answer(ctx, hold(ctx, input).await)
    }

    /// Holds the best free seats that seat a party together, for some minutes, all or nothing. Needs a token.
    async fn hold_best_available(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to seat.")] input: HoldBestAvailableInput,
    ) -> Option<HoldBestAvailablePayload> {
        answer(ctx, hold_best(ctx, input).await)
    }

    /// Starts paying for a held booking and returns at once; read the booking until it is no longer PAYING. Needs a token.
    async fn pay_booking(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How to pay.")] input: PayBookingInput,
    ) -> Option<PayBookingPayload> {
        answer(ctx, pay(ctx, input).await)
    }

    /// Lets a held booking go; its places are free at once. Needs a token.
    async fn release_booking(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to let go.")] input: ReleaseBookingInput,
    ) -> Option<ReleaseBookingPayload> {
        answer(ctx, release(ctx, input).await)
    }

    /// Cancels a confirmed booking before its event starts; its places are free at once, and what the policy of its offer gives
    /// back follows, perhaps nothing. Needs a token.
    async fn cancel_booking(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to cancel.")] input: CancelBookingInput,
    ) -> Option<CancelBookingPayload> {
        answer(ctx, cancel(ctx, input).await)
    }
}

async fn hold(ctx: &Context<'_>, input: HoldSeatsInput) -> Result<Booking, Failure> {
    let caller = Viewer::of(ctx).user()?;
    let mut areas = Vec::new();
    for (at, area) in input.areas.unwrap_or_default().into_iter().enumerate() {
        let quantity = unsigned(area.quantity, &["areas", &at.to_string(), "quantity"])?;
        areas.push(pb::AreaQuantity { area_id: area.area_id.0, quantity });
    }
    let message = pb::HoldSeatsRequest {
        event_id: input.event_id.0,
        seat_ids: input.seat_ids.unwrap_or_default().into_iter().map(|id| id.0).collect(),
        areas,
        request_id: request_id(input.idempotency_key)?,
    };
    let answer = call_retried!(Api::of(ctx).clients.booking, hold_seats, caller, message)?;
    Ok(Booking(present(answer.booking)?))
}

async fn hold_best(ctx: &Context<'_>, input: HoldBestAvailableInput) -> Result<Booking, Failure> {
    let caller = Viewer::of(ctx).user()?;
    let message = pb::HoldBestAvailableRequest {
        event_id: input.event_id.0,
        quantity: unsigned(input.quantity, &["quantity"])?,
        category: input.category.unwrap_or_default(),
        accessible: input.accessible.unwrap_or_default(),
        request_id: request_id(input.idempotency_key)?,
    };
    let answer = call_retried!(Api::of(ctx).clients.booking, hold_best_available, caller, message)?;
    Ok(Booking(present(answer.booking)?))
}

async fn pay(ctx: &Context<'_>, input: PayBookingInput) -> Result<Booking, Failure> {
    let caller = Viewer::of(ctx).user()?;
    let message = pb::PayBookingRequest {
        booking_id: input.booking_id.0,
        payment_token: input.payment_token.unwrap_or_default(),
        request_id: request_id(input.idempotency_key)?,
    };
    let answer = call_retried!(Api::of(ctx).clients.booking, pay_booking, caller, message)?;
    Ok(Booking(present(answer.booking)?))
}

async fn release(ctx: &Context<'_>, input: ReleaseBookingInput) -> Result<Booking, Failure> {
    let caller = Viewer::of(ctx).user()?;
    let message =
        pb::ReleaseBookingRequest { booking_id: input.booking_id.0, request_id: request_id(input.idempotency_key)? };
    let answer = call_retried!(Api::of(ctx).clients.booking, release_booking, caller, message)?;
    Ok(Booking(present(answer.booking)?))
}

async fn cancel(ctx: &Context<'_>, input: CancelBookingInput) -> Result<Booking, Failure> {
    let caller = Viewer::of(ctx).user()?;
    let message =
        pb::CancelBookingRequest { booking_id: input.booking_id.0, request_id: request_id(input.idempotency_key)? };
    let answer = call_retried!(Api::of(ctx).clients.booking, cancel_booking, caller, message)?;
    Ok(Booking(present(answer.booking)?))
}
