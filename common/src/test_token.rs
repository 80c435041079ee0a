//! Payment tokens that get a chosen outcome from the simulated provider. Booking refuses any other before it asks to pay.

use std::fmt;

/// What a test token makes the simulated provider do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestToken {
    /// Approves at once.
    Approve,
    /// Declines with `CARD_DECLINED`.
    Decline,
    /// Declines with `INSUFFICIENT_FUNDS`.
    InsufficientFunds,
    /// Approves after about three seconds.
    Slow,
    /// Approves, but the answer never arrives; asked for the status, it says so.
    TimeoutThenApproved,
    /// Declines, but the answer never arrives; asked for the status, it says so.
    TimeoutThenDeclined,
    /// Approves at once, and tells of it by callback several times over.
    DuplicateCallback,
    /// Approves, and tells of it by callback before it answers.
    CallbackFirst,
    /// Takes the authorisation in, and approves it this much later.
    ApproveAfter {
        /// Seconds, at most [`TestToken::SECONDS_MAX`].
        seconds: u32,
    },
    /// Approves, and refuses the capture for good with `CAPTURE_REFUSED`.
    CaptureFails,
    /// Approves and captures, and refuses the first refund calls with `REFUND_REFUSED`.
    RefundFails {
        /// How many, at most [`TestToken::TIMES_MAX`].
        times: u32,
    },
    /// Approves and captures; a refund is taken in at first and fails two seconds later, and succeeds when sent again.
    RefundPendingThenFailed,
}

const APPROVE_AFTER: &str = "tok_approve_after_";
const REFUND_FAILS: &str = "tok_refund_fails_";

impl TestToken {
    /// The longest an approval may take: a day.
    pub const SECONDS_MAX: u32 = 86_400;
    /// The most refund calls that can be made to fail.
    pub const TIMES_MAX: u32 = 1_000;
    /// Every token without a number in it.
    pub const PLAIN: [Self; 10] = [
        Self::Approve,
        Self::Decline,
        Self::InsufficientFunds,
        Self::Slow,
        Self::TimeoutThenApproved,
        Self::TimeoutThenDeclined,
        Self::DuplicateCallback,
        Self::CallbackFirst,
        Self::CaptureFails,
        Self::RefundPendingThenFailed,
    ];

    /// Reads a token; `None` when it is not one of these.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(seconds) = text.strip_prefix(APPROVE_AFTER) {
            return number(seconds, Self::SECONDS_MAX).map(|seconds| Self::ApproveAfter { seconds });
        }
        if let Some(times) = text.strip_prefix(REFUND_FAILS) {
            return number(times, Self::TIMES_MAX).map(|times| Self::RefundFails { times });
        }
        Self::PLAIN.into_iter().find(|token| token.to_string() == text)
    }
}

impl fmt::Display for TestToken {
    /// The token as clients send it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approve => f.write_str("tok_approve"),
            Self::Decline => f.write_str("tok_decline"),
            Self::InsufficientFunds => f.write_str("tok_insufficient_funds"),
            Self::Slow => f.write_str("tok_slow"),
            Self::TimeoutThenApproved => f.write_str("tok_timeout_then_approved"),
            Self::TimeoutThenDeclined => f.write_str("tok_timeout_then_declined"),
            Self::DuplicateCallback => f.write_str("tok_duplicate_callback"),
            Self::CallbackFirst => f.write_str("tok_callback_first"),
            Self::ApproveAfter { seconds } => write!(f, "{APPROVE_AFTER}{seconds}"),
            Self::CaptureFails => f.write_str("tok_capture_fails"),
            Self::RefundFails { times } => write!(f, "{REFUND_FAILS}{times}"),
            Self::RefundPendingThenFailed => f.write_str("tok_refund_pending_then_failed"),
        }
    }
}

/// A number written in the one way there is: digits alone, no leading zeros.
fn number(text: &str, max: u32) -> Option<u32> {
    text.parse::<u32>().ok().filter(|number| *number <= max && number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_read_back_and_others_are_refused() {
        for token in TestToken::PLAIN {
            assert_eq!(TestToken::parse(&token.to_string()), Some(token));
        }
        assert_eq!(TestToken::parse("tok_visa"), None);
        assert_eq!(TestToken::parse("TOK_APPROVE"), None);
    }

    #[test]
    fn numbers_are_read_within_their_bounds() {
        for seconds in [0, 6, 660, 86_400] {
            let token = TestToken::ApproveAfter { seconds };
            assert_eq!(TestToken::parse(&token.to_string()), Some(token));
        }
        for times in [0, 2, 1_000] {
            let token = TestToken::RefundFails { times };
            assert_eq!(TestToken::parse(&token.to_string()), Some(token));
        }
        assert_eq!(TestToken::parse("tok_approve_after_86401"), None);
        assert_eq!(TestToken::parse("tok_refund_fails_1001"), None);
    }

    #[test]
    fn numbers_are_written_in_one_way_only() {
        for number in ["", "06", "00", "+6", "-1", " 6", "6 ", "6s", "6.0", "0x6", "٦", "99999999999999999999"] {
            assert_eq!(TestToken::parse(&format!("tok_approve_after_{number}")), None, "{number:?}");
            assert_eq!(TestToken::parse(&format!("tok_refund_fails_{number}")), None, "{number:?}");
        }
    }
}
