//! Sales reports for those who answer for an event.

use common::error::to_status;
use common::ids::EventId;
use common::proto::booking::v1::{GetSalesReportRequest, GetSalesReportResponse, SalesLine};
use tonic::Status;

use super::Api;
use super::parse::db_status;
use crate::application::hold::HoldError;
use crate::infrastructure::store::Sales;

impl Api {
    pub(super) async fn sales_report(&self, request: GetSalesReportRequest) -> Result<GetSalesReportResponse, Status> {
        let no_event = || to_status(&HoldError::NoEvent);
        let event = EventId::parse(&request.event_id).ok_or_else(no_event)?;
        let report = self.store.sales_report(event).await.map_err(db_status)?.ok_or_else(no_event)?;
        let total = line(&report.total());
        let category = |(name, sales): &(Box<str>, Sales)| SalesLine { category: name.to_string(), ..line(sales) };
        let mut lines: Vec<SalesLine> = report.categories.iter().map(category).collect();
        for (id, name, sales) in &report.areas {
            lines.push(SalesLine { area_id: id.to_string(), area: name.to_string(), ..line(sales) });
        }
        Ok(GetSalesReportResponse {
            currency: report.currency,
            lines,
            total: Some(total),
            refund_pending_minor: report.refund_pending_minor,
            refund_stuck_minor: report.refund_stuck_minor,
        })
    }
}

fn line(sales: &Sales) -> SalesLine {
    SalesLine {
        sold: sales.sold,
        held: sales.held,
        free: sales.free(),
        total: sales.total,
        gross_minor: sales.gross_minor,
        refunded_minor: sales.refunded_minor,
        ..SalesLine::default()
    }
}
