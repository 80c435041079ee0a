//! Money that goes back: what a booking shows of it, and how a box office gives it.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use common::proto::booking::v1 as pb;

use super::Api;
use super::booking::Booking;
use super::payload::{answer, payload, present, request_id};
use super::price::Money;
use super::scalars::{BigInt, Timestamp};
use crate::clients::call_retried;
use crate::error::{Failure, Fault, UserError};
use crate::viewer::Viewer;

/// Where a refund stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundState {
    /// Asked for; it is being seen to.
    Requested,
    /// The money went back.
    Done,
    /// Nothing had been captured, so nothing went back.
    Nothing,
    /// The provider refused too often; a person must look.
    Stuck,
}

/// Money of a booking that goes back, or went.
#[derive(SimpleObject)]
pub struct Refund {
    /// Opaque.
    id: ID,
    /// How much.
    amount: Money,
    /// Where it stands.
    state: RefundState,
    /// Why, for people.
    reason: String,
    /// When it was asked for, UTC.
    created_at: Timestamp,
}

impl TryFrom<&pb::Refund> for Refund {
    type Error = Fault;

    fn try_from(refund: &pb::Refund) -> Result<Self, Fault> {
        let state = match refund.state() {
            pb::RefundState::Unspecified => return Err(Fault::internal("refund without a state")),
            pb::RefundState::Requested => RefundState::Requested,
            pb::RefundState::Done => RefundState::Done,
            pb::RefundState::Nothing => RefundState::Nothing,
            pb::RefundState::Stuck => RefundState::Stuck,
        };
        Ok(Self {
            id: ID::from(&refund.id),
            amount: refund.amount.clone().unwrap_or_default().into(),
            state,
            reason: refund.reason.clone(),
            created_at: Timestamp::required(refund.created_at.as_ref()),
        })
    }
}

/// What of a booking's money went back, minor units.
pub fn refunded_minor(booking: &pb::Booking) -> i64 {
    let done = booking.refunds.iter().filter(|refund| refund.state() == pb::RefundState::Done);
    done.filter_map(|refund| refund.amount.as_ref()).map(|amount| amount.amount_minor).sum()
}

/// What to give back. Neither `itemIds` nor `amountMinor`: everything that is left, and the booking is cancelled.
#[derive(InputObject)]
pub struct RefundBookingInput {
    /// The booking.
    booking_id: ID,
    /// Items to cancel, each once: their tickets are void, their places free, and the last one cancels the booking.
    item_ids: Option<Vec<ID>>,
    /// Minor units of the booking's currency. With `itemIds` at most what is left of their prices, all of that when absent;
    /// alone it goes back without any place.
    amount_minor: Option<BigInt>,
    /// Why, for people; at most 500 characters.
    reason: Option<String>,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

payload! {
    /// Answer of `refundBooking`.
    RefundBookingPayload {
        /// The booking with its new refund, CANCELLED when no place is left; null when refused.
        booking: Booking
    }
}

/// What box offices do about money.
#[derive(Default)]
pub struct RefundMutation;

#[Object]
impl RefundMutation {
    /// Gives money of a confirmed booking back, past any policy: all of it, some items, or an amount. Admin.
    async fn refund_booking(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to give back.")] input: RefundBookingInput,
    ) -> Option<RefundBookingPayload> {
        answer(ctx, refund(ctx, input).await)
    }
}

async fn refund(ctx: &Context<'_>, input: RefundBookingInput) -> Result<Booking, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    // For booking, no items at all may mean everything.
    if input.item_ids.as_ref().is_some_and(Vec::is_empty) {
        return Err(UserError::invalid(&["itemIds"], "name at least one item, or leave itemIds out").into());
    }
    let message = pb::RefundBookingRequest {
        booking_id: input.booking_id.0,
        item_ids: input.item_ids.unwrap_or_default().into_iter().map(|id| id.0).collect(),
        amount_minor: input.amount_minor.map(|amount| amount.0),
        reason: input.reason.unwrap_or_default(),
        request_id: request_id(input.idempotency_key)?,
    };
    let answer = call_retried!(Api::of(ctx).clients.booking, refund_booking, caller, message)?;
    Ok(Booking(present(answer.booking)?))
}
