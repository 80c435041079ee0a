//! A gate lets somebody in: verify the signature, then use the ticket, once.

use std::collections::HashMap;

use common::auth::Principal;
use common::error::{ErrorKind, Refusal};
use common::requests::{RequestIdError, RequestKey, is_request_id};
use tracing::instrument;

use crate::infrastructure::store::{Admitted, CheckInError, CheckedIn, Entry, Store, TicketUse, instant};
use crate::infrastructure::ticket_key;

/// Longest name of a gate, in characters.
const GATE_MAX: usize = 64;

/// A ticket shown at a gate.
pub struct Scan<'a> {
    /// As signed.
    pub token: &'a str,
    /// The gate.
    pub gate: &'a str,
    /// Remembers the answer; without it every call is a scan of its own.
    pub key: Option<&'a RequestKey>,
    /// The answer to remember.
    pub answer: &'a (dyn Fn(&CheckedIn) -> Vec<u8> + Sync),
}

/// Uses the ticket of a token.
#[instrument(name = "booking.check_in", skip_all, fields(gate = scan.gate))]
pub async fn check_in(store: &Store, who: &Principal, scan: Scan<'_>) -> Result<Admitted, CheckInError> {
    let Scan { token, gate, key, answer } = scan;
    if !is_request_id(gate) || gate.chars().count() > GATE_MAX {
        return Err(CheckInError::InvalidGate);
    }
    let keys = store.ticket_keys().await?;
    let claims = ticket_key::verified(token, &keys).ok_or(CheckInError::Unknown)?;
    let entry = Entry { gate, actor: &who.subject, key, answer };
    let admitted = store.check_in(&claims, entry).await?;
    let (ticket, actor) = (claims.ticket_id, &who.subject);
    tracing::info!(ticket.id = %ticket, gate, actor, "ticket {ticket} checked in");
    Ok(admitted)
}

/// What machines are told of the first check-in.
pub(super) fn first_use(used: &TicketUse) -> HashMap<String, String> {
    HashMap::from([("used_at".to_owned(), instant(used.at)), ("used_gate".to_owned(), used.gate.clone())])
}

impl Refusal for CheckInError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown => ErrorKind::NotFound,
            Self::Void | Self::AlreadyCheckedIn(_) => ErrorKind::FailedPrecondition,
            Self::InvalidGate => ErrorKind::InvalidInput,
            Self::RequestConflict => RequestIdError::Conflict.kind(),
            Self::Db(error) => error.kind(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unknown => "NOT_FOUND",
            Self::Void => "INVALID_STATE",
            Self::AlreadyCheckedIn(_) => "ALREADY_CHECKED_IN",
            Self::InvalidGate => "INVALID_INPUT",
            Self::RequestConflict => RequestIdError::Conflict.reason(),
            Self::Db(error) => error.reason(),
        }
    }

    fn field(&self) -> Option<String> {
        match self {
            Self::Unknown | Self::Void | Self::AlreadyCheckedIn(_) => Some("token".into()),
            Self::InvalidGate => Some("gate".into()),
            Self::RequestConflict => RequestIdError::Conflict.field(),
            Self::Db(_) => None,
        }
    }

    fn metadata(&self) -> HashMap<String, String> {
        match self {
            Self::AlreadyCheckedIn(used) => first_use(used),
            Self::Unknown | Self::Void | Self::InvalidGate | Self::RequestConflict | Self::Db(_) => HashMap::new(),
        }
    }
}
