//! Payment, scripted.

use common::proto::payment::v1 as pb;
use common::proto::payment::v1::payment_service_server::PaymentService;

use super::{fake, unused};

fake! { PaymentService in pb {
    get_payment(GetPaymentRequest) -> GetPaymentResponse: |_, _| unused();
    batch_get_payments(BatchGetPaymentsRequest) -> BatchGetPaymentsResponse: |script, request| {
        let payments = script.payments.lock().unwrap();
        let wanted = payments.iter().filter(|payment| request.booking_ids.contains(&payment.booking_id));
        Ok(pb::BatchGetPaymentsResponse { payments: wanted.cloned().collect() })
    };
} }
