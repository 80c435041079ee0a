//! One of each fact, every field it had at its release set.

use common::proto::booking::v1 as booking;
use common::proto::catalog::v1 as catalog;
use common::proto::common::v1::Money;
use common::proto::payment::v1 as payment;
use prost_types::Timestamp;

use super::{AGGREGATE, Golden};

const EVENT: &str = "01980000-0000-7000-8000-00000000000e";
const REFUND: &str = "01980000-0000-7000-8000-00000000000f";

fn id(text: &str) -> String {
    text.to_owned()
}

fn money() -> Option<Money> {
    Some(Money { amount_minor: 12_345_678_901, currency: "EUR".into() })
}

pub fn all() -> Vec<Golden> {
    [catalog_facts(), booking_facts(), payment_facts()].into_iter().flatten().collect()
}

fn catalog_facts() -> Vec<Golden> {
    vec![
        Golden::of(catalog::EventPublished { event_id: id(AGGREGATE), offer_version: 1 }),
        Golden::of(catalog::EventChanged { event_id: id(AGGREGATE), offer_version: 300 }),
        Golden::of(catalog::EventCancelled { event_id: id(AGGREGATE), offer_version: 2 }),
    ]
}

fn booking_facts() -> Vec<Golden> {
    vec![
        Golden::of(booking::BookingHeld {
            booking_id: id(AGGREGATE),
            event_id: id(EVENT),
            customer_id: "auth0|älice".into(),
            total: money(),
            expires_at: Some(Timestamp { seconds: 1_800_000_000, nanos: 123_456_000 }),
        }),
        Golden::of(booking::PaymentRequested {
            booking_id: id(AGGREGATE),
            attempt: 2,
            amount: money(),
            payment_token: "tok_approve".into(),
        }),
        Golden::of(booking::BookingConfirmed { booking_id: id(AGGREGATE), attempt: 2, amount: money() }),
        Golden::of(booking::BookingExpired { booking_id: id(AGGREGATE) }),
        Golden::of(booking::BookingReleased { booking_id: id(AGGREGATE) }),
        Golden::of(booking::BookingCancelled { booking_id: id(AGGREGATE), cause: "EVENT_CANCELLED".into() }),
        Golden::of(booking::VoidRequested { booking_id: id(AGGREGATE), attempt: 2, reason: "seats are gone".into() }),
        Golden::of(booking::RefundRequested {
            booking_id: id(AGGREGATE),
            refund_id: id(REFUND),
            amount: money(),
            reason: "cancelled by its customer".into(),
        }),
    ]
}

fn payment_facts() -> Vec<Golden> {
    vec![
        Golden::of(payment::PaymentAuthorised { booking_id: id(AGGREGATE), attempt: 2, amount: money() }),
        Golden::of(payment::PaymentDeclined {
            booking_id: id(AGGREGATE),
            attempt: 2,
            decline_code: "INSUFFICIENT_FUNDS".into(),
        }),
        Golden::of(payment::PaymentCaptured { booking_id: id(AGGREGATE), attempt: 2, amount: money() }),
        Golden::of(payment::PaymentCaptureFailed {
            booking_id: id(AGGREGATE),
            attempt: 2,
            code: "CAPTURE_REFUSED".into(),
        }),
        Golden::of(payment::PaymentVoided { booking_id: id(AGGREGATE), attempt: 2 }),
        Golden::of(payment::PaymentRefunded { booking_id: id(AGGREGATE), refund_id: id(REFUND), amount: money() }),
        Golden::of(payment::PaymentStuck {
            booking_id: id(AGGREGATE),
            step: "refund".into(),
            refund_id: id(REFUND),
            reason: "REFUND_REFUSED".into(),
        }),
    ]
}
