//! How an event sells, for its organisers.

use async_graphql::{Context, ID, Object, SimpleObject};
use common::proto::booking::v1 as pb;

use super::Api;
use super::payload::present;
use super::scalars::BigInt;
use crate::clients::call_retried;
use crate::error::{Fault, nullable, optional};
use crate::viewer::Viewer;

/// Places and money of an event at one instant. Amounts are minor units of its currency.
#[derive(SimpleObject)]
pub struct SalesReport {
    /// ISO 4217 code of every amount.
    currency: String,
    /// Categories of seats by first appearance in the plan, then areas.
    lines: Vec<SalesLine>,
    /// All lines together.
    totals: SalesTotals,
}

/// Places and money of one category of seats or of one area: free + held + sold = total.
#[derive(SimpleObject)]
pub struct SalesLine {
    /// The price category; null for an area.
    category: Option<String>,
    /// Name of the area; null for a category.
    area: Option<String>,
    /// Sold now.
    sold: i32,
    /// Held or being paid now.
    held: i32,
    /// Neither held nor sold now.
    free: i32,
    /// Seats or places.
    total: i32,
    /// Prices of everything sold, also of what was given back since. A sale whose money could not be taken is none.
    gross_minor: BigInt,
    /// Of that, what went back or is on its way.
    refunded_minor: BigInt,
}

/// Places and money of a whole event.
#[derive(SimpleObject)]
pub struct SalesTotals {
    /// Sold now.
    sold: i32,
    /// Held or being paid now.
    held: i32,
    /// Neither held nor sold now.
    free: i32,
    /// Seats and places.
    total: i32,
    /// Prices of everything sold, also of what was given back since. A sale whose money could not be taken is none.
    gross_minor: BigInt,
    /// Of that, what went back or is on its way.
    refunded_minor: BigInt,
    /// Of what is refunded: asked for, but not back yet.
    refund_pending_minor: BigInt,
    /// Of what is refunded: stuck until a person has looked.
    refund_stuck_minor: BigInt,
}

/// Reads of sales.
#[derive(Default)]
pub struct SalesQuery;

#[Object]
impl SalesQuery {
    /// How an event sells, per category and area. Admin. Null when there is no such event on offer.
    async fn sales_report(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the event.")] event_id: ID,
    ) -> Option<SalesReport> {
        nullable(ctx, report(ctx, event_id).await).flatten()
    }
}

async fn report(ctx: &Context<'_>, event_id: ID) -> Result<Option<SalesReport>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let message = pb::GetSalesReportRequest { event_id: event_id.0 };
    let answer = optional(call_retried!(Api::of(ctx).clients.booking, get_sales_report, caller, message))?;
    let Some(answer) = answer else { return Ok(None) };
    let total = present(answer.total)?;
    Ok(Some(SalesReport {
        currency: answer.currency,
        lines: answer.lines.into_iter().map(SalesLine::from).collect(),
        totals: SalesTotals {
            sold: total.sold.cast_signed(),
            held: total.held.cast_signed(),
            free: total.free.cast_signed(),
            total: total.total.cast_signed(),
            gross_minor: BigInt(total.gross_minor),
            refunded_minor: BigInt(total.refunded_minor),
            refund_pending_minor: BigInt(answer.refund_pending_minor),
            refund_stuck_minor: BigInt(answer.refund_stuck_minor),
        },
    }))
}

impl From<pb::SalesLine> for SalesLine {
    fn from(line: pb::SalesLine) -> Self {
        let shown = |name: String| (!name.is_empty()).then_some(name);
        Self {
            category: shown(line.category),
            area: shown(line.area),
            sold: line.sold.cast_signed(),
            held: line.held.cast_signed(),
            free: line.free.cast_signed(),
            total: line.total.cast_signed(),
            gross_minor: BigInt(line.gross_minor),
            refunded_minor: BigInt(line.refunded_minor),
        }
    }
}
