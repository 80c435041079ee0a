//! Commands on a booking: pay, release, cancel, refund. Each takes a request id: the same id and request return the first
//! answer.

use std::collections::HashMap;

use common::auth::{Principal, Role};
use common::error::{ErrorKind, Refusal};
use common::ids::BookingId;
use common::requests::{RequestIdError, RequestKey};
use tracing::instrument;

use super::check_in::first_use;
use crate::domain::booking::{CommandError, RefundWish};
use crate::infrastructure::store::{Command, Encode, Outcome, Store, TransitionError};

impl Refusal for TransitionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::RequestConflict => RequestIdError::Conflict.kind(),
            Self::Refused(CommandError::UnknownToken) => ErrorKind::InvalidInput,
            Self::Refused(CommandError::NoSuchItem(_)) => ErrorKind::NotFound,
            Self::AlreadyCheckedIn(_) | Self::Refused(_) => ErrorKind::FailedPrecondition,
            Self::Db(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::RequestConflict => RequestIdError::Conflict.reason(),
            Self::AlreadyCheckedIn(_) => "ALREADY_CHECKED_IN",
            Self::Refused(CommandError::HoldExpired) => "HOLD_EXPIRED",
            Self::Refused(CommandError::UnknownToken) => "INVALID_INPUT",
            Self::Refused(CommandError::PolicyForbids) => "POLICY_FORBIDS",
            Self::Refused(CommandError::RefundExceeds { .. }) => "REFUND_EXCEEDS",
            Self::Refused(CommandError::NoSuchItem(_)) => "NOT_FOUND",
            Self::Refused(
                CommandError::InvalidState { .. } | CommandError::EventCancelled | CommandError::ItemCancelled(_),
            ) => "INVALID_STATE",
            Self::Db(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::RequestConflict => Some("request_id".into()),
            Self::Refused(CommandError::UnknownToken) => Some("payment_token".into()),
            Self::Refused(CommandError::RefundExceeds { .. }) => Some("amount_minor".into()),
            Self::Refused(CommandError::NoSuchItem(_) | CommandError::ItemCancelled(_)) => Some("item_ids".into()),
            Self::NotFound | Self::AlreadyCheckedIn(_) | Self::Refused(_) => Some("booking_id".into()),
            Self::Db(_) => None,
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::AlreadyCheckedIn(used) => first_use(used),
            Self::Refused(CommandError::RefundExceeds { left }) => {
                HashMap::from([("left_minor".to_owned(), left.amount_minor().to_string())])
            }
            Self::NotFound | Self::RequestConflict | Self::Refused(_) | Self::Db(_) => HashMap::new(),
        }
    }
}

/// Starts paying; the saga does the rest.
#[instrument(name = "booking.pay", skip_all, fields(booking.id = %booking))]
pub async fn pay(
    store: &Store,
    who: &Principal,
    booking: BookingId,
    token: &str,
    key: &RequestKey,
    answer: Encode<'_>,
) -> Result<Outcome, TransitionError> {
    let terms = store.terms();
    let may_act = |owner: &str| owner == who.subject;
    let command = Command { booking, key, actor: &who.subject, prolongs: true, may_act: &may_act, answer };
    store.command(command, |found, event, now| found.pay(token, event, now, terms)).await
}

/// Lets a hold go.
#[instrument(name = "booking.release", skip_all, fields(booking.id = %booking))]
pub async fn release(
    store: &Store,
    who: &Principal,
    booking: BookingId,
    key: &RequestKey,
    answer: Encode<'_>,
) -> Result<Outcome, TransitionError> {
    let may_act = |owner: &str| acts_for(who, owner);
    let command = Command { booking, key, actor: &who.subject, prolongs: false, may_act: &may_act, answer };
    store.command(command, |found, _, now| found.release(now)).await
}

/// Cancels a confirmed booking; the saga then refunds what the policy gives back.
#[instrument(name = "booking.cancel", skip_all, fields(booking.id = %booking))]
pub async fn cancel(
    store: &Store,
    who: &Principal,
    booking: BookingId,
    key: &RequestKey,
    answer: Encode<'_>,
) -> Result<Outcome, TransitionError> {
    let may_act = |owner: &str| acts_for(who, owner);
    let policy = store.policy_of(booking).await?;
    let command = Command { booking, key, actor: &who.subject, prolongs: false, may_act: &may_act, answer };
    store.command(command, |found, event, now| found.cancel(&policy, event, now)).await
}

/// Gives money back for a box office; the saga refunds it.
#[instrument(name = "booking.refund", skip_all, fields(booking.id = %booking))]
pub async fn refund(
    store: &Store,
    who: &Principal,
    booking: BookingId,
    (wish, reason): (&RefundWish, &str),
    key: &RequestKey,
    answer: Encode<'_>,
) -> Result<Outcome, TransitionError> {
    let may_act = |_: &str| who.has(Role::Admin);
    let command = Command { booking, key, actor: &who.subject, prolongs: false, may_act: &may_act, answer };
    store.command(command, |found, _, now| found.refund(wish, reason, now)).await
}

/// A box office may release and cancel for its customers.
fn acts_for(who: &Principal, owner: &str) -> bool {
    owner == who.subject || who.has(Role::Admin)
}
