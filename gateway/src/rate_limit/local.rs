//! Counts in process. Memory is bounded: of more callers than fit, the least busy ones are forgotten, which is lenient.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;

use super::gcra::Pace;

/// Callers remembered at once.
const CALLERS_MAX: u64 = 100_000;
/// Who has not asked for this long is forgotten.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// When each caller's next request is due.
pub struct Local {
    due: Cache<String, Arc<AtomicU64>>,
}

impl Local {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self { due: Cache::builder().max_capacity(CALLERS_MAX).time_to_idle(IDLE).build() }
    }

    /// Counts a request at `now`: 0, or by how much it is too early. All in microseconds, on any clock that only goes on.
    pub async fn count(&self, key: &str, pace: Pace, now: u64) -> u64 {
        let due = self.due.get_with_by_ref(key, async { Arc::default() }).await;
        let mut early = 0;
        let _ = due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| match pace.count(due, now) {
            Ok(next) => Some(next),
            Err(by) => {
                early = by;
                None
            }
        });
        early
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rate;
    use super::*;

    #[tokio::test]
    async fn callers_have_limits_of_their_own_which_come_back_with_time() {
        let (local, pace) = (Local::new(), Pace::of(Rate { per_second: 2, burst: 3 }));
        let passes = async |who: &str, second: u64| {
            let mut passed = 0;
            for _ in 0..10 {
                passed += u32::from(local.count(who, pace, second * 1_000_000).await == 0);
            }
            passed
        };

        assert_eq!((passes("a", 0).await, passes("b", 0).await), (3, 3));
        assert_eq!((passes("a", 1).await, passes("a", 60).await), (2, 3));
    }
}
