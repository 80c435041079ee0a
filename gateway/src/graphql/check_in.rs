//! Gates: letting somebody in with a ticket.

use async_graphql::{Context, InputObject, Object};
use common::proto::booking::v1 as pb;

use super::Api;
use super::booking::Ticket;
use super::payload::{answer, optional_request_id, payload, present};
use crate::clients::call_keyed;
use crate::error::Failure;
use crate::viewer::Viewer;

/// Which ticket, and where.
#[derive(InputObject)]
pub struct CheckInInput {
    /// The ticket's token, as its QR code shows it.
    token: String,
    /// Name of the gate, 1 to 64 printable characters.
    gate: String,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is a scan of its own.
    idempotency_key: Option<String>,
}

payload! {
    /// Answer of `checkIn`.
    CheckInPayload {
        /// The ticket, used now; null when refused.
        ticket: Ticket
    }
}

/// What gates do.
#[derive(Default)]
pub struct CheckInMutation;

#[Object]
impl CheckInMutation {
    /// Lets somebody in with a ticket, once. Admin.
    async fn check_in(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which ticket, and where.")] input: CheckInInput,
    ) -> Option<CheckInPayload> {
        answer(ctx, check_in(ctx, input).await)
    }
}

async fn check_in(ctx: &Context<'_>, input: CheckInInput) -> Result<Ticket, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let request_id = optional_request_id(input.idempotency_key)?;
    let message = pb::CheckInRequest { token: input.token, gate: input.gate, request_id };
    let answer = call_keyed!(Api::of(ctx).clients.booking, check_in, caller, message)?;
    Ok(Ticket::new(&present(answer.ticket)?, answer.item.as_ref()))
}
