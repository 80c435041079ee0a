//! Calls that ended without an answer of the peer: UNAVAILABLE, with a reason that says whether the peer can have begun,
//! or DEADLINE_EXCEEDED.

use std::error::Error as StdError;

use tonic::{Code, ConnectError, Status, TimeoutExpired};

use crate::error::{ErrorKind, Refused, chain, status};
use crate::layers::shed;

/// The call never reached the peer, or the peer sent it back untouched.
const NOT_BEGUN: &str = "NOT_BEGUN";
/// The connection broke: the peer may have done what was asked.
const CONNECTION_LOST: &str = "CONNECTION_LOST";

/// The status of a call that ended without one.
pub(super) fn unanswered(peer: &str, address: &str, error: &(dyn StdError + 'static)) -> Status {
    let message = format!("{peer} at {address}: {}", chain(error));
    if causes(error).any(|cause| cause.is::<TimeoutExpired>()) {
        return status(ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", message, None, Default::default());
    }
    let reason = if causes(error).any(is_not_begun) { NOT_BEGUN } else { CONNECTION_LOST };
    status(ErrorKind::Unavailable, reason, message, None, Default::default())
}

/// Whether the peer cannot have begun to do what was asked, so that any call may be made again.
pub(super) fn cannot_have_begun(status: &Status) -> bool {
    status.code() == Code::Unavailable && [NOT_BEGUN, shed::OVERLOADED].contains(&Refused::of(status).reason.as_str())
}

/// No connection; or the request was still in our hands when the connection ended; or a server that is stopping told
/// that it will not look at it (RFC 9113, sections 6.8 and 8.7).
fn is_not_begun(cause: &(dyn StdError + 'static)) -> bool {
    if let Some(h2) = cause.downcast_ref::<h2::Error>() {
        let sent_away = h2.is_go_away() && h2.is_remote() && h2.reason() == Some(h2::Reason::NO_ERROR);
        return sent_away || h2.reason() == Some(h2::Reason::REFUSED_STREAM);
    }
    cause.is::<ConnectError>() || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_reached_a_peer_may_be_sent_again() {
        let refused = ConnectError("connection refused".into());

        let status = unanswered("booking", "http://127.0.0.1:1", &refused);

        assert_eq!(status.code(), Code::Unavailable);
        assert!(cannot_have_begun(&status));
    }

    #[test]
    fn a_stream_refused_by_a_stopping_server_may_be_sent_again() {
        let status = unanswered("booking", "", &h2::Error::from(h2::Reason::REFUSED_STREAM));

        assert!(cannot_have_begun(&status));
    }

    #[test]
    fn a_broken_connection_leaves_open_what_was_done() {
        let status = unanswered("booking", "", &std::io::Error::from(std::io::ErrorKind::ConnectionReset));

        assert_eq!(status.code(), Code::Unavailable);
        assert!(!cannot_have_begun(&status));
    }

    #[test]
    fn expired_time_is_no_outage() {
        let status = unanswered("booking", "", &TimeoutExpired(()));

        assert_eq!(status.code(), Code::DeadlineExceeded);
    }
}
