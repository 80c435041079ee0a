//! Money that is stuck: what the provider refused too often, and having it asked again.

use async_graphql::{Context, Enum, ID, InputObject, Object, SimpleObject};
use common::proto::payment::v1 as pb;

use super::Api;
use super::page::{Connection, PageRequest};
use super::payload::{answer, payload, present, request_id, unsigned};
use super::payment::Payment;
use super::price::Money;
use super::scalars::Timestamp;
use crate::clients::call_retried;
use crate::error::{Failure, Fault, nullable};
use crate::viewer::Viewer;

/// What the provider refuses.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum StuckStep {
    /// Letting authorised money go.
    Void,
    /// Giving captured money back.
    Refund,
}

/// Something that waits for a person.
#[derive(SimpleObject)]
pub struct StuckPayment {
    /// Id of the payment, the same as its booking's.
    payment_id: ID,
    /// Id of the booking.
    booking_id: ID,
    /// The payment.
    payment: Payment,
    /// What the provider refuses.
    step: StuckStep,
    /// Id of the refund, as `retryRefund` takes it; null for a void.
    refund_id: Option<ID>,
    /// Which attempt's money, as `retryVoid` takes it.
    attempt: u32,
    /// How much.
    amount: Money,
    /// What the provider said last, for instance `REFUND_REFUSED`.
    reason: String,
    /// Since when it is stuck, UTC.
    since: Timestamp,
    /// How often the provider was asked.
    tries: u32,
}

impl TryFrom<pb::StuckPayment> for StuckPayment {
    type Error = Fault;

    fn try_from(stuck: pb::StuckPayment) -> Result<Self, Fault> {
        let step = match stuck.step() {
            pb::StuckStep::Unspecified => return Err(Fault::internal("a stuck step without its kind")),
            pb::StuckStep::Void => StuckStep::Void,
            pb::StuckStep::Refund => StuckStep::Refund,
        };
        let payment = present(stuck.payment)?;
        Ok(Self {
            payment_id: ID::from(&payment.id),
            booking_id: ID::from(&payment.booking_id),
            payment: payment.try_into()?,
            step,
            refund_id: (!stuck.refund_id.is_empty()).then(|| ID::from(stuck.refund_id)),
            attempt: stuck.attempt,
            amount: present(stuck.amount)?.into(),
            reason: stuck.reason,
            since: Timestamp::required(stuck.since.as_ref()),
            tries: stuck.tries,
        })
    }
}

/// Reads of what is stuck.
#[derive(Default)]
pub struct StuckQuery;

#[Object]
impl StuckQuery {
    /// What the provider refused too often, longest stuck first. Admin.
    async fn stuck_payments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<StuckPayment>> {
        nullable(ctx, list(ctx, first, after).await)
    }
}

async fn list(ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<Connection<StuckPayment>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let page = PageRequest::new(ctx, "stuckPayments", first, after)?;
    let message = pb::ListStuckPaymentsRequest { page_size: page.size, page_token: page.token.clone() };
    let answer = call_retried!(Api::of(ctx).clients.payment, list_stuck_payments, caller, message)?;
    let rows = answer.payments.into_iter().map(StuckPayment::try_from).collect::<Result<_, _>>()?;
    page.connection(ctx, rows, &answer.tokens, answer.has_more)
}

/// Which stuck refund.
#[derive(InputObject)]
pub struct RetryRefundInput {
    /// The refund.
    refund_id: ID,
    /// The booking it must belong to; any when absent.
    booking_id: Option<ID>,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

/// Which stuck void.
#[derive(InputObject)]
pub struct RetryVoidInput {
    /// The booking.
    booking_id: ID,
    /// Which attempt to pay.
    attempt: i32,
    /// As in `HoldSeatsInput`.
    idempotency_key: String,
}

payload! {
    /// Answer of `retryRefund`.
    RetryRefundPayload {
        /// The payment, whose refund is under way again; null when refused.
        payment: Payment
    }
}

payload! {
    /// Answer of `retryVoid`.
    RetryVoidPayload {
        /// The payment, whose void is under way again; null when refused.
        payment: Payment
    }
}

/// What is done about what is stuck.
#[derive(Default)]
pub struct StuckMutation;

#[Object]
impl StuckMutation {
    /// Has the provider asked again for a stuck refund, with new patience. Admin.
    async fn retry_refund(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which stuck refund.")] input: RetryRefundInput,
    ) -> Option<RetryRefundPayload> {
        answer(ctx, retry_refund(ctx, input).await)
    }

    /// Has the provider asked again to let the money of an attempt go, with new patience. Admin.
    async fn retry_void(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which stuck void.")] input: RetryVoidInput,
    ) -> Option<RetryVoidPayload> {
        answer(ctx, retry_void(ctx, input).await)
    }
}

async fn retry_refund(ctx: &Context<'_>, input: RetryRefundInput) -> Result<Payment, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let message = pb::RetryRefundRequest {
        refund_id: input.refund_id.0,
        booking_id: input.booking_id.map(|id| id.0).unwrap_or_default(),
        request_id: request_id(input.idempotency_key)?,
    };
    let answer = call_retried!(Api::of(ctx).clients.payment, retry_refund, caller, message)?;
    Ok(present(answer.payment)?.try_into()?)
}

async fn retry_void(ctx: &Context<'_>, input: RetryVoidInput) -> Result<Payment, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let message = pb::RetryVoidRequest {
        booking_id: input.booking_id.0,
        attempt: unsigned(input.attempt, &["attempt"])?,
        request_id: request_id(input.idempotency_key)?,
    };
    let answer = call_retried!(Api::of(ctx).clients.payment, retry_void, caller, message)?;
    Ok(present(answer.payment)?.try_into()?)
}
