//! Payments as callers see them, and what is stuck.

use chrono::{DateTime, Utc};
use common::ids::{PaymentId, RefundId, StepId};
use common::money::Money;

use crate::domain::{PaymentState, StepKind};

/// A payment as callers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentView {
    /// Its id, the same as its booking's.
    pub id: PaymentId,
    /// Subject of the customer's token.
    pub customer_id: String,
    /// Where it stands.
    pub status: Status,
    /// What the booking costs.
    pub amount: Money,
    /// Captured so far, minor units.
    pub captured_minor: i64,
    /// Refunded so far, minor units.
    pub refunded_minor: i64,
    /// Why the current attempt was declined.
    pub decline_code: Option<String>,
    /// Attempts so far.
    pub attempt: u32,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// Where a payment stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its own state.
    Plain(PaymentState),
    /// The outcome of its current step is not known yet.
    Unknown,
    /// A step needs a person.
    Stuck,
}

/// Where a stuck step stands in the list of them: first by when it became stuck, microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StuckKey {
    /// Since when.
    pub since: i64,
    /// Which one.
    pub step: StepId,
}

/// Something that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckView {
    /// Where it stands in the list.
    pub key: StuckKey,
    /// The payment it belongs to.
    pub payment: PaymentView,
    /// Void or refund.
    pub kind: StepKind,
    /// Key of the refund.
    pub refund: Option<RefundId>,
    /// Which attempt.
    pub attempt: u32,
    /// How much.
    pub amount: Money,
    /// What the provider said last.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often the provider was asked.
    pub tries: u32,
}
