//! What can go wrong, in the two forms clients see: faults at the top level, refusals as `userErrors` of a payload.

use async_graphql::{Context, Enum, ID, SimpleObject};
use common::error::Refused;
use tonic::Status;

/// Codes of top-level errors, in `extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Show a valid token.
    Unauthenticated,
    /// Another role is needed.
    Forbidden,
    /// An argument or the request itself must be mended.
    BadUserInput,
    /// The document is not valid, or over a limit.
    ValidationFailed,
    /// Ask less often; `Retry-After` says when to ask again.
    RateLimited,
    /// Our fault.
    Internal,
    /// Try again.
    Unavailable,
}

impl Code {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::ValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Internal => "INTERNAL_SERVER_ERROR",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// A top-level error. Its text is fit for outsiders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// For machines.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Fault {
    /// A fault with a text that outsiders may read.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Logs what happened and says only that it did.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        tracing::error!(error = %what, "internal error");
        Self::new(Code::Internal, "internal error")
    }
}

impl From<Status> for Fault {
    /// What a refusal means where no payload can carry it, as in a query.
    fn from(status: Status) -> Self {
        let refused = Refused::of(&status);
        match (refused.reason.as_str(), status.code()) {
            ("UNAUTHENTICATED", _) | (_, tonic::Code::Unauthenticated) => {
                Self::new(Code::Unauthenticated, refused.message)
            }
            ("FORBIDDEN", _) | (_, tonic::Code::PermissionDenied) => {
                Self::new(Code::Forbidden, "your role does not allow this")
            }
            ("UNAVAILABLE" | "DEADLINE_EXCEEDED", _)
            | (
                _,
                tonic::Code::Unavailable
                | tonic::Code::DeadlineExceeded
                | tonic::Code::Cancelled
                | tonic::Code::ResourceExhausted,
            ) => {
                tracing::warn!(%status, "service unavailable");
                Self::new(Code::Unavailable, "temporarily unavailable, try again")
            }
            ("INVALID_INPUT", _) => Self::new(Code::BadUserInput, refused.message),
            _ => Self::internal(status),
        }
    }
}

/// Whether a service says that something is not there, or not for this caller.
pub fn is_absent(status: &Status) -> bool {
    status.code() == tonic::Code::NotFound
}

/// Absence is `None`, everything else a fault.
pub fn optional<T>(answer: Result<T, Status>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(status) if is_absent(&status) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

/// Answers a nullable field: a fault stands in `errors` with its path, the field itself is null.
/// Returned as an error instead, it would leave the field out of the answer altogether.
pub fn nullable<T>(ctx: &Context<'_>, outcome: Result<T, Fault>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(fault) => {
            let error = async_graphql::Error::from(fault).into_server_error(ctx.item.pos);
            ctx.add_error(ctx.set_error_path(error));
            None
        }
    }
}

/// Why a mutation was refused; clients branch on it, never on the message.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserErrorCode {
    /// Somebody else has at least one of the seats; `seatIds` names each lost one.
    SeatsTaken,
    /// An area has fewer free places than asked for, or no free seats are left that seat the party together.
    SoldOut,
    /// The event is not published, not in its sale window, or the seat is not for sale.
    NotOnSale,
    /// The customer would have more places of this event than its limit allows.
    LimitExceeded,
    /// The hold lapsed before the call.
    HoldExpired,
    /// The booking or event is in a state that does not allow it.
    InvalidState,
    /// It does not exist, or is not yours.
    NotFound,
    /// The input must be mended; `field` says where.
    InvalidInput,
    /// The idempotency key was used before with another input.
    IdempotencyConflict,
    /// The event was changed since `expectedVersion`.
    VersionConflict,
    /// Somebody was let in with the ticket, or with a ticket of the booking; `message` says when and at which gate.
    AlreadyCheckedIn,
    /// More than can still be refunded; `message` says how much can.
    RefundExceeds,
    /// The event has started: its bookings cannot be cancelled any more.
    PolicyForbids,
    /// The event forbids picks that leave a single seat alone without need; `seatIds` names each seat left alone.
    OrphanSeat,
}

impl UserErrorCode {
    fn of(reason: &str) -> Option<Self> {
        Some(match reason {
            "SEATS_TAKEN" => Self::SeatsTaken,
            "SOLD_OUT" => Self::SoldOut,
            "NOT_ON_SALE" => Self::NotOnSale,
            "LIMIT_EXCEEDED" => Self::LimitExceeded,
            "HOLD_EXPIRED" => Self::HoldExpired,
            "INVALID_STATE" => Self::InvalidState,
            "NOT_FOUND" => Self::NotFound,
            "INVALID_INPUT" => Self::InvalidInput,
            "IDEMPOTENCY_CONFLICT" => Self::IdempotencyConflict,
            "VERSION_CONFLICT" => Self::VersionConflict,
            "ALREADY_CHECKED_IN" => Self::AlreadyCheckedIn,
            "REFUND_EXCEEDS" => Self::RefundExceeds,
            "POLICY_FORBIDS" => Self::PolicyForbids,
            "ORPHAN_SEAT" => Self::OrphanSeat,
            _ => return None,
        })
    }
}

/// An expected refusal of a mutation: data, not an error.
#[derive(SimpleObject, Debug, Clone, PartialEq, Eq)]
pub struct UserError {
    /// Path of the input field at fault, from the input object down, for instance `["areas", "0", "quantity"]`; null when it is
    /// not about one field.
    pub field: Option<Vec<String>>,
    /// For machines.
    pub code: UserErrorCode,
    /// For people.
    pub message: String,
    /// With SEATS_TAKEN: every lost seat; with ORPHAN_SEAT: every seat left alone; null otherwise.
    pub seat_ids: Option<Vec<ID>>,
}

impl UserError {
    /// An input field that must be mended.
    pub fn invalid(field: &[&str], message: impl Into<String>) -> Self {
        let field = Some(field.iter().map(|part| (*part).to_owned()).collect());
        Self { field, code: UserErrorCode::InvalidInput, message: message.into(), seat_ids: None }
    }

    fn of(refused: Refused) -> Option<Self> {
        let code = UserErrorCode::of(&refused.reason)?;
        let seat_ids = refused.metadata.get("seat_ids").map(|ids| ids.split(',').map(ID::from).collect());
        let field = refused.field.map(|path| input_path(&path));
        Some(Self { field, code, message: refused.message, seat_ids })
    }
}

/// Why a mutation has no object to show.
#[derive(Debug, Clone)]
pub enum Failure {
    /// Expected: goes into `userErrors`.
    Refused(UserError),
    /// Unexpected: goes to the top level.
    Broken(Fault),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault)
    }
}

impl From<UserError> for Failure {
    fn from(refusal: UserError) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match UserError::of(Refused::of(&status)) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Broken(status.into()),
        }
    }
}

/// Messages that wrap the input in the contracts but not in GraphQL.
const WRAPPERS: [&str; 3] = ["event", "venue", "header"];

/// Turns a proto field path (`event.prices[2].amount_minor`) into a path below the GraphQL input.
fn input_path(proto: &str) -> Vec<String> {
    let mut parts: Vec<&str> = proto.split(['.', '[', ']']).filter(|part| !part.is_empty()).collect();
    while parts.len() > 1 && WRAPPERS.contains(&parts[0]) {
        parts.remove(0);
    }
    parts.into_iter().map(input_name).collect()
}

fn input_name(proto: &str) -> String {
    match proto {
        "request_id" => "idempotencyKey".into(),
        "latitude" => "lat".into(),
        "longitude" => "lon".into(),
        "chunk" => "plan".into(),
        other => lower_camel(other),
    }
}

fn lower_camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use common::error::{ErrorKind, status};

    use super::*;

    #[test]
    fn field_paths_become_paths_below_the_input() {
        for (proto, expected) in [
            ("seat_ids", &["seatIds"][..]),
            ("event.title", &["title"]),
            ("header.venue.latitude", &["lat"]),
            ("request_id", &["idempotencyKey"]),
            ("event.prices[2].amount_minor", &["prices", "2", "amountMinor"]),
            ("event", &["event"]),
        ] {
            assert_eq!(input_path(proto), expected, "{proto}");
        }
    }

    #[test]
    fn lost_seats_are_named() {
        let metadata = HashMap::from([("seat_ids".to_owned(), "a,b".to_owned())]);
        let status = status(ErrorKind::Conflict, "SEATS_TAKEN", "a, b are taken", Some("seat_ids".into()), metadata);

        let Failure::Refused(refusal) = Failure::from(status) else { panic!("SEATS_TAKEN is expected") };

        assert_eq!(refusal.code, UserErrorCode::SeatsTaken);
        assert_eq!(refusal.seat_ids, Some(vec![ID::from("a"), ID::from("b")]));
        assert_eq!(refusal.field, Some(vec!["seatIds".to_owned()]));
    }

    #[test]
    fn every_kind_of_status_has_its_code() {
        for (kind, reason, code) in [
            (ErrorKind::Unauthenticated, "UNAUTHENTICATED", Code::Unauthenticated),
            (ErrorKind::PermissionDenied, "FORBIDDEN", Code::Forbidden),
            (ErrorKind::InvalidInput, "INVALID_INPUT", Code::BadUserInput),
            (ErrorKind::Unavailable, "UNAVAILABLE", Code::Unavailable),
            (ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", Code::Unavailable),
            (ErrorKind::Internal, "INTERNAL", Code::Internal),
            (ErrorKind::InvalidInput, "SOMETHING_NEW", Code::Internal),
        ] {
            let fault = Fault::from(status(kind, reason, "text", None, HashMap::new()));
            assert_eq!(fault.code, code, "{reason}");
        }
        assert_eq!(Fault::from(Status::unavailable("connection refused")).code, Code::Unavailable);
        assert_eq!(Fault::from(Status::unknown("password is hunter2")).message, "internal error");
    }
}
