//! Alarms: one loud log line and one counter each.

use common::ids::PaymentId;
use common::telemetry;

use super::ports::LongUnknown;
use crate::domain::{Alarm, Impossible};

const COUNTER: &str = "eventix_payment_alarms";

fn count(kind: &str) {
    telemetry::count_kind(COUNTER, "payment", kind);
}

/// Raises the alarms of a decision.
pub fn raise(payment: PaymentId, alarms: &[Alarm]) {
    for alarm in alarms {
        count(alarm.word());
        match alarm {
            Alarm::StrayApproval { attempt } => tracing::error!(
                payment.id = %payment,
                attempt,
                "payment {payment}: attempt {attempt} was approved although nobody waits for it; voiding it"
            ),
            Alarm::AmountMismatch { step, asked, said } => tracing::error!(
                payment.id = %payment,
                step = step.word(),
                %asked,
                %said,
                "payment {payment}: the provider speaks of {said} although its {} is about {asked}",
                step.word()
            ),
            Alarm::Contradiction { news, attempt } => tracing::error!(
                payment.id = %payment,
                attempt,
                news,
                "payment {payment}: the provider tells {news} of attempt {attempt}, which cannot be"
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
    count("impossible_fact");
    tracing::error!(payment.id = %payment, %reason, "payment {payment}: a fact of booking's cannot be followed");
}

/// Raises the alarm for an outcome that has been unknown for too long.
pub fn unknown(step: &LongUnknown) {
    count("unknown");
    let (payment, kind, age) = (step.payment_id, step.kind.word(), step.age.as_secs());
    let reason = &step.reason;
    tracing::error!(
        payment.id = %payment,
        step = kind,
        reason,
        "payment {payment}: the outcome of its {kind} has been unknown for {age} s"
    );
}

/// Raises the alarm for an authorisation that was given up.
pub fn given_up(payment: PaymentId, attempt: u32) {
    count("given_up");
    tracing::error!(
        payment.id = %payment,
        attempt,
        "payment {payment}: the outcome of attempt {attempt} stayed unknown; it was voided"
    );
}

/// Raises the alarm for money held under a reference that payment does not know.
pub fn unknown_reference(reference: &str) {
    count("unknown_reference");
    tracing::error!(reference, "the provider approved reference {reference}, which is not known here");
}
