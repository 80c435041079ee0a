//! `eventix.payment.v1.PaymentService`: reads, and what a person does about stuck steps; money moves on booking's facts alone.

use std::sync::Arc;

use common::auth::{Principal, Role};
use common::clock::to_wire;
use common::db::Db;
use common::error::{ErrorKind, Refusal, to_status};
use common::grpc::{AccessTable, principal};
use common::ids::{BookingId, PaymentId};
use common::proto::payment::v1::payment_service_server::PaymentService;
use common::proto::payment::v1::{
    BatchGetPaymentsRequest, BatchGetPaymentsResponse, GetPaymentRequest, GetPaymentResponse, ListStuckPaymentsRequest,
    ListStuckPaymentsResponse, Payment, PaymentState as WireState, RetryRefundRequest, RetryRefundResponse,
    RetryVoidRequest, RetryVoidResponse,
};
use tonic::{Request, Response, Status};

use super::read;
use crate::application::ports::{PaymentStore, StoreError};
use crate::application::view::{self, PaymentView};
use crate::domain::PaymentState;

mod stuck;

/// Full protobuf name, as health reports it.
pub const SERVICE_NAME: &str = "eventix.payment.v1.PaymentService";

/// Who may call what.
pub const ACCESS: AccessTable = &[
    ("GetPayment", &[Role::Customer, Role::Admin, Role::Service]),
    ("BatchGetPayments", &[Role::Customer, Role::Admin, Role::Service]),
    ("ListStuckPayments", &[Role::Admin]),
    ("RetryRefund", &[Role::Admin]),
    ("RetryVoid", &[Role::Admin]),
    ("ListFacts", &[Role::Service]),
    ("ListHeads", &[Role::Service]),
];

/// Payments asked for at once.
const BATCH_MAX: usize = 100;

/// The service.
pub struct PaymentApi {
    db: Db,
    store: Arc<dyn PaymentStore>,
}

impl PaymentApi {
    /// Reads from a database, and re-opens stuck steps through the store over it.
    pub fn new(db: Db, store: Arc<dyn PaymentStore>) -> Self {
        Self { db, store }
    }

    /// Payments the caller may see; what is missing and what belongs to others look the same.
    async fn visible(&self, who: &Principal, bookings: &[String]) -> Result<Vec<Payment>, ReadError> {
        if bookings.len() > BATCH_MAX {
            return Err(ReadError::TooMany(bookings.len()));
        }
        let ids: Vec<PaymentId> = bookings.iter().filter_map(|id| BookingId::parse(id)).map(PaymentId::of).collect();
        let payments = read::payments(&self.db, self.db.reader(), &ids).await?;
        Ok(payments.into_iter().filter(|p| who.may_see(&p.customer_id)).map(Payment::from).collect())
    }
}

#[tonic::async_trait]
impl PaymentService for PaymentApi {
    async fn get_payment(&self, request: Request<GetPaymentRequest>) -> Result<Response<GetPaymentResponse>, Status> {
        let who = principal(&request)?;
        let booking = request.into_inner().booking_id;
        let found = self.visible(&who, std::slice::from_ref(&booking)).await.map_err(|e| to_status(&e))?;
        let payment = found.into_iter().next().ok_or_else(|| to_status(&ReadError::NotFound))?;
        Ok(Response::new(GetPaymentResponse { payment: Some(payment) }))
    }

    async fn batch_get_payments(
        &self,
        request: Request<BatchGetPaymentsRequest>,
    ) -> Result<Response<BatchGetPaymentsResponse>, Status> {
        let who = principal(&request)?;
        let bookings = request.into_inner().booking_ids;
        let payments = self.visible(&who, &bookings).await.map_err(|e| to_status(&e))?;
        Ok(Response::new(BatchGetPaymentsResponse { payments }))
    }

    async fn list_stuck_payments(
        &self,
        request: Request<ListStuckPaymentsRequest>,
    ) -> Result<Response<ListStuckPaymentsResponse>, Status> {
        self.stuck(&request.into_inner()).await.map(Response::new)
    }

    async fn retry_refund(
        &self,
        request: Request<RetryRefundRequest>,
    ) -> Result<Response<RetryRefundResponse>, Status> {
        let who = principal(&request)?;
        self.again_refund(&who, request.into_inner()).await.map(Response::new)
    }

    async fn retry_void(&self, request: Request<RetryVoidRequest>) -> Result<Response<RetryVoidResponse>, Status> {
        let who = principal(&request)?;
        self.again_void(&who, request.into_inner()).await.map(Response::new)
    }
}

impl From<PaymentView> for Payment {
    fn from(payment: PaymentView) -> Self {
        Self {
            id: payment.id.to_string(),
            booking_id: payment.id.booking().to_string(),
            customer_id: payment.customer_id,
            state: state(payment.status).into(),
            amount: Some(payment.amount.into()),
            captured_minor: payment.captured_minor,
            refunded_minor: payment.refunded_minor,
            decline_code: payment.decline_code.unwrap_or_default(),
            attempt: payment.attempt,
            created_at: Some(to_wire(payment.created_at)),
        }
    }
}

fn state(status: view::Status) -> WireState {
    match status {
        view::Status::Unknown => WireState::Unknown,
        view::Status::Stuck => WireState::Stuck,
        view::Status::Plain(state) => match state {
            PaymentState::Open => WireState::Open,
            PaymentState::Authorising => WireState::Authorising,
            PaymentState::Authorised => WireState::Authorised,
            PaymentState::Declined => WireState::Declined,
            PaymentState::Captured => WireState::Captured,
            PaymentState::PartlyRefunded => WireState::PartlyRefunded,
            PaymentState::Refunded => WireState::Refunded,
            PaymentState::Voided => WireState::Voided,
            PaymentState::Closed => WireState::Closed,
        },
    }
}

/// Why payments cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// Not there, or not the caller's.
    #[error("there is no such payment")]
    NotFound,
    /// Too many at once.
    #[error("{0} bookings were asked for, at most {BATCH_MAX} are possible")]
    TooMany(usize),
    /// The database failed.
    #[error("payments cannot be read")]
    Store(#[from] StoreError),
}

impl Refusal for ReadError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::TooMany(_) => ErrorKind::InvalidInput,
            Self::Store(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::TooMany(_) => "INVALID_INPUT",
            Self::Store(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        matches!(self, Self::TooMany(_)).then(|| "booking_ids".to_owned())
    }
}
