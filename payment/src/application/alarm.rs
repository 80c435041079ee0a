//! Alarms: one loud log line and one counter each.

use common::ids::PaymentId;
use common::telemetry;

use crate::domain::{Alarm, Impossible};

const COUNTER: &str = "eventix_payment_alarms";

/// Raises the alarms of a decision.
pub fn raise(payment: PaymentId, alarms: &[Alarm]) {
    for alarm in alarms {
        telemetry::count(COUNTER, "payment", alarm.word());
        match alarm {
            Alarm::StrayApproval { attempt } => tracing::error!(
                payment.id = %payment,
                attempt,
                "payment {payment}: attempt {attempt} was approved although nobody waits for it; voiding it"
            ),
            Alarm::Stuck { step, reason } => tracing::error!(
                payment.id = %payment,
                step = step.word(),
                reason,
                "payment {payment}: a {} is stuck",
                step.word()
            ),
            Alarm::NothingToRefund { refund } => tracing::error!(
                payment.id = %payment,
                refund.id = %refund,
                "payment {payment}: refund {refund} was asked for although nothing was captured"
            ),
        }
    }
}

/// Raises the alarm for a fact that cannot be true.
pub fn impossible(payment: PaymentId, reason: &Impossible) {
    telemetry::count(COUNTER, "payment", "impossible_fact");
    tracing::error!(payment.id = %payment, %reason, "payment {payment}: a fact of booking's cannot be followed");
}
