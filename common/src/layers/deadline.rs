//! Bounds every call: the caller's `grpc-timeout`, or a default. Expiry is DEADLINE_EXCEEDED.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use crate::error::{ErrorKind, status};
use crate::grpc::DEADLINE_DEFAULT;

/// The longest a caller may ask for: imports of big plans need most.
const DEADLINE_MAX: Duration = Duration::from_secs(120);
/// tonic answers CANCELLED when its own timer fires; ours fires this much earlier and says what happened.
const AHEAD_MAX: Duration = Duration::from_millis(20);

/// Answers DEADLINE_EXCEEDED when the call takes longer than it may.
pub async fn enforce(request: Request, next: Next) -> Response {
    let asked = request.headers().get("grpc-timeout").and_then(|v| v.to_str().ok()).and_then(parse);
    let limit = asked.map_or(DEADLINE_DEFAULT, |asked| (asked - AHEAD_MAX.min(asked / 10)).min(DEADLINE_MAX));
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("not done within {} ms", limit.as_millis());
            status(ErrorKind::DeadlineExceeded, "DEADLINE_EXCEEDED", message, None, Default::default()).into_http()
        }
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit, by the gRPC-over-HTTP/2 specification.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n * 3600)),
        "M" => Some(Duration::from_secs(n * 60)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_parse_by_the_specification() {
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("1H", Some(Duration::from_secs(3600))),
            ("", None),
            ("S", None),
            ("123456789S", None),
            ("5x", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
