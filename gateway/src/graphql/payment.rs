//! Payments, as bookings show them.

use async_graphql::{Context, Enum, SimpleObject};
use common::proto::payment::v1 as pb;

use super::loaders::Loaders;
use crate::error::Fault;

/// Where a payment stands.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentState {
    /// Amount known, nothing tried.
    Open,
    /// The provider was or will be asked.
    Authorising,
    /// The provider holds the money.
    Authorised,
    /// The last attempt was refused; another may be made while the hold runs.
    Declined,
    /// The money was taken.
    Captured,
    /// Some of it went back.
    PartlyRefunded,
    /// All of it went back.
    Refunded,
    /// The authorisation was let go; no money moved.
    Voided,
    /// Ended without money.
    Closed,
    /// The outcome of the current step is not known yet; it is asked until known.
    Unknown,
    /// A step needs a person.
    Stuck,
}

/// The payment of one booking.
#[derive(SimpleObject)]
pub struct Payment {
    /// Where it stands.
    state: PaymentState,
    /// Why the last attempt was declined, for instance `CARD_DECLINED` or `INSUFFICIENT_FUNDS`; null otherwise.
    decline_code: Option<String>,
}

/// The payment of a booking; nothing while payment has not heard of it.
///
/// # Errors
/// As payment answers.
pub async fn of_booking(ctx: &Context<'_>, booking_id: &str) -> Result<Option<Payment>, Fault> {
    let payment = Loaders::of(ctx).payments.load_one(booking_id.to_owned()).await?;
    payment.map(Payment::try_from).transpose()
}

impl TryFrom<pb::Payment> for Payment {
    type Error = Fault;

    fn try_from(payment: pb::Payment) -> Result<Self, Fault> {
        let state = state(payment.state())?;
        let decline_code = (!payment.decline_code.is_empty()).then_some(payment.decline_code);
        Ok(Self { state, decline_code })
    }
}

fn state(state: pb::PaymentState) -> Result<PaymentState, Fault> {
    Ok(match state {
        pb::PaymentState::Unspecified => return Err(Fault::internal("payment without a state")),
        pb::PaymentState::Open => PaymentState::Open,
        pb::PaymentState::Authorising => PaymentState::Authorising,
        pb::PaymentState::Authorised => PaymentState::Authorised,
        pb::PaymentState::Declined => PaymentState::Declined,
        pb::PaymentState::Captured => PaymentState::Captured,
        pb::PaymentState::PartlyRefunded => PaymentState::PartlyRefunded,
        pb::PaymentState::Refunded => PaymentState::Refunded,
        pb::PaymentState::Voided => PaymentState::Voided,
        pb::PaymentState::Closed => PaymentState::Closed,
        pb::PaymentState::Unknown => PaymentState::Unknown,
        pb::PaymentState::Stuck => PaymentState::Stuck,
    })
}
