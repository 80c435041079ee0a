//! What is stuck, and having it asked again.

use common::auth::Principal;
use common::clock::to_wire;
use common::error::{ErrorKind, status, to_status};
use common::ids::{BookingId, PaymentId, RefundId};
use common::page;
use common::proto::payment::v1::{
    ListStuckPaymentsRequest, ListStuckPaymentsResponse, Payment, RetryRefundRequest, RetryRefundResponse,
    RetryVoidRequest, RetryVoidResponse, StuckPayment, StuckStep,
};
use common::requests::RequestKey;
use prost::Message;
use tonic::Status;

use super::{PaymentApi, ReadError};
use crate::application::retry::{RetryError, Stuck, retry};
use crate::application::view::{PaymentView, StuckView};
use crate::domain::StepKind;
use crate::infrastructure::read;

impl PaymentApi {
    pub(super) async fn stuck(&self, request: &ListStuckPaymentsRequest) -> Result<ListStuckPaymentsResponse, Status> {
        let size = page::page_size(request.page_size).ok_or_else(|| invalid("page_size", "1 to 100 rows"))?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(page::key(token).ok_or_else(|| invalid("page_token", "not a page token of this list"))?),
        };
        // One row more than asked for, to see whether more follow.
        let read = read::stuck(&self.db, after, size + 1).await;
        let mut rows = read.map_err(|error| to_status(&ReadError::from(error)))?;
        let has_more = page::cut(&mut rows, size);
        let tokens = rows.iter().map(|row| page::token(&row.key)).collect();
        Ok(ListStuckPaymentsResponse { payments: rows.into_iter().map(StuckPayment::from).collect(), tokens, has_more })
    }

    pub(super) async fn again_refund(
        &self,
        who: &Principal,
        mut request: RetryRefundRequest,
    ) -> Result<RetryRefundResponse, Status> {
        let id = std::mem::take(&mut request.request_id);
        let key = key(who, "retryRefund", &id, &request)?;
        let no_refund = || to_status(&RetryError::NotFound("refund"));
        let refund = RefundId::parse(&request.refund_id).ok_or_else(no_refund)?;
        let payment = match request.booking_id.as_str() {
            "" => None,
            booking => Some(BookingId::parse(booking).map(PaymentId::of).ok_or_else(no_refund)?),
        };
        self.again(who, &key, Stuck::Refund { refund, payment }, |payment| RetryRefundResponse { payment }).await
    }

    pub(super) async fn again_void(
        &self,
        who: &Principal,
        mut request: RetryVoidRequest,
    ) -> Result<RetryVoidResponse, Status> {
        let id = std::mem::take(&mut request.request_id);
        let key = key(who, "retryVoid", &id, &request)?;
        let booking = BookingId::parse(&request.booking_id);
        let booking = booking.ok_or_else(|| to_status(&RetryError::NotFound("payment")))?;
        let stuck = Stuck::Void { payment: PaymentId::of(booking), attempt: request.attempt };
        self.again(who, &key, stuck, |payment| RetryVoidResponse { payment }).await
    }

    async fn again<M: Message + Default>(
        &self,
        who: &Principal,
        key: &RequestKey,
        stuck: Stuck,
        response: impl Fn(Option<Payment>) -> M,
    ) -> Result<M, Status> {
        let answer = |view: PaymentView| response(Some(view.into())).encode_to_vec();
        let answered = retry(self.store.as_ref(), who, key, stuck, answer).await.map_err(|error| to_status(&error))?;
        M::decode(answered.as_slice()).map_err(|error| {
            tracing::error!(%error, "a remembered answer cannot be read");
            status(ErrorKind::Internal, "INTERNAL", "internal error", None, Default::default())
        })
    }
}

fn key<M: Message>(who: &Principal, operation: &str, id: &str, request: &M) -> Result<RequestKey, Status> {
    RequestKey::new(&who.subject, operation, id, &request.encode_to_vec()).map_err(|error| to_status(&error))
}

fn invalid(field: &str, message: &str) -> Status {
    status(ErrorKind::InvalidInput, "INVALID_INPUT", message, Some(field.to_owned()), Default::default())
}

impl From<StuckView> for StuckPayment {
    fn from(stuck: StuckView) -> Self {
        let step = match stuck.kind {
            StepKind::Void => StuckStep::Void,
            StepKind::Refund => StuckStep::Refund,
            // These are asked until they are known, and never stick.
            StepKind::Authorise | StepKind::Capture => StuckStep::Unspecified,
        };
        Self {
            payment: Some(stuck.payment.into()),
            step: step.into(),
            refund_id: stuck.refund.map(|refund| refund.to_string()).unwrap_or_default(),
            attempt: stuck.attempt,
            amount: Some(stuck.amount.into()),
            reason: stuck.reason,
            since: Some(to_wire(stuck.since)),
            tries: stuck.tries,
        }
    }
}
