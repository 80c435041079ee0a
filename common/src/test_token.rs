//! Payment tokens that get a chosen outcome from the simulated provider. Booking refuses any other before it asks to pay.

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
}

impl TestToken {
    /// Every token.
    pub const ALL: [Self; 6] = [
        Self::Approve,
        Self::Decline,
        Self::InsufficientFunds,
        Self::Slow,
        Self::TimeoutThenApproved,
        Self::TimeoutThenDeclined,
    ];

    /// The token as clients send it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Approve => "tok_approve",
            Self::Decline => "tok_decline",
            Self::InsufficientFunds => "tok_insufficient_funds",
            Self::Slow => "tok_slow",
            Self::TimeoutThenApproved => "tok_timeout_then_approved",
            Self::TimeoutThenDeclined => "tok_timeout_then_declined",
        }
    }

    /// Reads a token; `None` when it is not one of these.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|token| token.text() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_read_back_and_others_are_refused() {
        for token in TestToken::ALL {
            assert_eq!(TestToken::parse(token.text()), Some(token));
        }
        assert_eq!(TestToken::parse("tok_visa"), None);
        assert_eq!(TestToken::parse("TOK_APPROVE"), None);
    }
}
