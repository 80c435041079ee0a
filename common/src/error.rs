//! Refusals: a short closed kind and a stable reason, carried over gRPC as `google.rpc.ErrorInfo`.
//! Clients branch on codes and reasons, never on text.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt::Write;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of every reason.
pub const ERROR_DOMAIN: &str = "eventix";

/// What a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Mend the request.
    InvalidInput,
    /// It is not there, or not for you.
    NotFound,
    /// The state does not allow it now.
    FailedPrecondition,
    /// Somebody else was faster, or a limit is reached.
    Conflict,
    /// Show a valid token.
    Unauthenticated,
    /// Another role is needed.
    PermissionDenied,
    /// Too much at once; try later.
    ResourceExhausted,
    /// Try again.
    Unavailable,
    /// It took too long.
    DeadlineExceeded,
    /// Our fault.
    Internal,
}

impl ErrorKind {
    fn code(self) -> Code {
        match self {
            Self::InvalidInput => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::Conflict => Code::Aborted,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::ResourceExhausted => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }
}

/// An operation's error that outsiders may see.
pub trait Refusal: StdError + Send + Sync + 'static {
    /// What a caller can do about it.
    fn kind(&self) -> ErrorKind;
    /// A stable code such as `SOLD_OUT`.
    fn reason(&self) -> &'static str;
    /// The request field at fault, in proto spelling (`seat_ids`, `event.title`), when there is one.
    fn field(&self) -> Option<String> {
        None
    }
    /// Facts for machines, for instance `seat_ids`.
    fn metadata(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

/// Turns a refusal into its gRPC form. Internal trouble is logged whole here and shown to nobody.
pub fn to_status(refusal: &dyn Refusal) -> Status {
    let kind = refusal.kind();
    let message = match kind {
        ErrorKind::Internal => {
            tracing::error!(error = %chain(refusal), "internal error");
            "internal error".to_owned()
        }
        ErrorKind::Unavailable => {
            tracing::warn!(error = %chain(refusal), "unavailable");
            "temporarily unavailable".to_owned()
        }
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::FailedPrecondition
        | ErrorKind::Conflict
        | ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::ResourceExhausted
        | ErrorKind::DeadlineExceeded => refusal.to_string(),
    };
    status(kind, refusal.reason(), message, refusal.field(), refusal.metadata())
}

/// A status with its `ErrorInfo`, for refusals that have no error type of their own.
pub fn status(
    kind: ErrorKind,
    reason: &str,
    message: impl Into<String>,
    field: Option<String>,
    metadata: HashMap<String, String>,
) -> Status {
    let message = message.into();
    let mut details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, metadata);
    if let Some(field) = field {
        details.add_bad_request_violation(field, message.clone());
    }
    Status::with_error_details(kind.code(), message, details)
}

/// What a peer's status says, once more in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The stable code; empty when the peer sent none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The request field at fault, in proto spelling.
    pub field: Option<String>,
    /// Facts for machines.
    pub metadata: HashMap<String, String>,
}

impl Refused {
    /// Reads a status.
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let violation = details.bad_request().and_then(|b| b.field_violations.first());
        Self {
            reason: info.map(|i| i.reason.clone()).unwrap_or_default(),
            message: status.message().to_owned(),
            field: violation.map(|v| v.field.clone()),
            metadata: info.map(|i| i.metadata.clone()).unwrap_or_default(),
        }
    }
}

/// The whole chain of an error, for the one place where it is finally handled.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        let sent = status(
            ErrorKind::Conflict,
            "SEATS_TAKEN",
            "seat a is taken",
            Some("seat_ids".into()),
            HashMap::from([("seat_ids".into(), "a".into())]),
        );
        let received = Refused::of(&Status::with_details(sent.code(), sent.message(), sent.details().to_vec().into()));

        assert_eq!(sent.code(), Code::Aborted);
        assert_eq!(received.reason, "SEATS_TAKEN");
        assert_eq!(received.field.as_deref(), Some("seat_ids"));
        assert_eq!(received.metadata["seat_ids"], "a");
    }
}
