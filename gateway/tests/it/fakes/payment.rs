//! Payment, scripted.

use common::proto::payment::v1 as pb;
use common::proto::payment::v1::payment_service_server::PaymentService;

use super::{fake, page, unused};

fake! { PaymentService in pb {
    get_payment(GetPaymentRequest) -> GetPaymentResponse: |_, _| unused();
    batch_get_payments(BatchGetPaymentsRequest) -> BatchGetPaymentsResponse: |script, request| {
        let payments = script.payments.lock().unwrap();
        let wanted = payments.iter().filter(|payment| request.booking_ids.contains(&payment.booking_id));
        Ok(pb::BatchGetPaymentsResponse { payments: wanted.cloned().collect() })
    };
    list_stuck_payments(ListStuckPaymentsRequest) -> ListStuckPaymentsResponse: |script, request| {
        let stuck = script.stuck.lock().unwrap();
        let (payments, tokens, has_more) = page(&stuck, request.page_size, &request.page_token)?;
        Ok(pb::ListStuckPaymentsResponse { payments, tokens, has_more })
    };
    retry_refund(RetryRefundRequest) -> RetryRefundResponse: |script, _| {
        Ok(pb::RetryRefundResponse { payment: script.payments.lock().unwrap().first().cloned() })
    };
    retry_void(RetryVoidRequest) -> RetryVoidResponse: |script, _| {
        Ok(pb::RetryVoidResponse { payment: script.payments.lock().unwrap().first().cloned() })
    };
} }
