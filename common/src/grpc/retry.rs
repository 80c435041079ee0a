//! Calls made again while their peer is unavailable. A replica that failed rests, so the next attempt goes to another.

use std::sync::LazyLock;
use std::time::Duration;

use tonic::{Code, Status};
use tower::retry::budget::{Budget, TpsBudget};

use super::failure::cannot_have_begun;

/// Most attempts at one call.
const ATTEMPTS_MAX: u32 = 3;
/// Pause before the second attempt; doubles.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a first attempt counts towards the retries it allows.
const WINDOW: Duration = Duration::from_secs(10);
/// Retries per second that are always allowed.
const PER_SECOND_MIN: u32 = 10;
/// Retries allowed per first attempt.
const SHARE: f32 = 0.2;

/// All calls of the process share it, so that retries cannot make an outage worse.
static BUDGET: LazyLock<TpsBudget> = LazyLock::new(|| TpsBudget::new(WINDOW, PER_SECOND_MIN, SHARE));

/// Calls again while the peer is UNAVAILABLE. Only for reads, and for writes that may be sent twice: those with a request
/// id, and those that change nothing the second time.
///
/// # Errors
/// The last answer.
pub async fn with_retry<T, F, R>(call: F) -> Result<T, Status>
where
    F: FnMut() -> R,
    R: Future<Output = Result<tonic::Response<T>, Status>>,
{
    again_while(|status| status.code() == Code::Unavailable, &BUDGET, call).await
}

/// Calls again while the peer cannot have begun: for every other write. When the answer is lost, so is the knowledge
/// whether it happened.
///
/// # Errors
/// The last answer.
pub async fn with_retry_unless_begun<T, F, R>(call: F) -> Result<T, Status>
where
    F: FnMut() -> R,
    R: Future<Output = Result<tonic::Response<T>, Status>>,
{
    again_while(cannot_have_begun, &BUDGET, call).await
}

async fn again_while<T, F, R>(
    may_repeat: impl Fn(&Status) -> bool,
    budget: &TpsBudget,
    mut call: F,
) -> Result<T, Status>
where
    F: FnMut() -> R,
    R: Future<Output = Result<tonic::Response<T>, Status>>,
{
    budget.deposit();
    let mut pause = PAUSE;
    for attempt in 1.. {
        match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) if attempt < ATTEMPTS_MAX && may_repeat(&status) && budget.withdraw() => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(status) => return Err(status),
        }
    }
    unreachable!("the last attempt returns")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::error::{ErrorKind, status};

    fn ample() -> TpsBudget {
        TpsBudget::new(WINDOW, PER_SECOND_MIN, SHARE)
    }

    async fn attempts(may_repeat: impl Fn(&Status) -> bool, budget: &TpsBudget, answer: Status) -> u32 {
        let attempts = AtomicU32::new(0);
        let refused = again_while::<(), _, _>(may_repeat, budget, || {
            attempts.fetch_add(1, Ordering::SeqCst);
            let answer = answer.clone();
            async move { Err(answer) }
        });
        assert_eq!(refused.await.unwrap_err().code(), answer.code());
        attempts.into_inner()
    }

    fn unavailable(status: &Status) -> bool {
        status.code() == Code::Unavailable
    }

    #[tokio::test]
    async fn only_unavailable_is_tried_again_and_only_so_often() {
        for (code, expected) in [(Code::Unavailable, ATTEMPTS_MAX), (Code::DeadlineExceeded, 1), (Code::Internal, 1)] {
            assert_eq!(attempts(unavailable, &ample(), Status::new(code, "no")).await, expected, "{code:?}");
        }
    }

    #[tokio::test]
    async fn a_spent_budget_ends_retries() {
        let budget = TpsBudget::new(WINDOW, 0, 0.0);

        assert_eq!(attempts(unavailable, &budget, Status::unavailable("no")).await, 1);
    }

    #[tokio::test]
    async fn a_write_that_may_have_happened_is_not_sent_again() {
        let because = |reason| status(ErrorKind::Unavailable, reason, "no", None, Default::default());

        for (reason, expected) in [("NOT_BEGUN", ATTEMPTS_MAX), ("OVERLOADED", ATTEMPTS_MAX), ("CONNECTION_LOST", 1)] {
            assert_eq!(attempts(cannot_have_begun, &ample(), because(reason)).await, expected, "{reason}");
        }
    }
}
