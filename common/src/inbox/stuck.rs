//! What this process remembers about aggregates that do not get on: since when, and when to try again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// First pause after a failure; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// An aggregate that nobody tried again for this long got on by another way.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// Aggregates that do not get on.
#[derive(Default)]
pub(super) struct Stuck(Mutex<HashMap<Uuid, Trouble>>);

struct Trouble {
    since: Instant,
    again_at: Instant,
    pause: Duration,
}

impl Stuck {
    /// Whether it is time to try.
    pub(super) fn due(&self, aggregate: Uuid) -> bool {
        self.lock().get(&aggregate).is_none_or(|trouble| trouble.again_at <= Instant::now())
    }

    /// Notes a failure; returns for how long there has been nothing else.
    pub(super) fn failed(&self, aggregate: Uuid) -> Duration {
        let now = Instant::now();
        let mut stuck = self.lock();
        stuck.retain(|_, trouble| trouble.again_at + FORGOTTEN_AFTER > now);
        let trouble = stuck.entry(aggregate).or_insert(Trouble { since: now, again_at: now, pause: PAUSE_MIN });
        trouble.again_at = now + trouble.pause;
        trouble.pause = (trouble.pause * 2).min(PAUSE_MAX);
        now - trouble.since
    }

    /// Notes that it got on.
    pub(super) fn moved(&self, aggregate: Uuid) {
        self.lock().remove(&aggregate);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Trouble>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_aggregate_rests_and_one_that_moved_does_not() {
        let (stuck, aggregate) = (Stuck::default(), Uuid::now_v7());

        assert!(stuck.due(aggregate));
        stuck.failed(aggregate);
        assert!(!stuck.due(aggregate));
        stuck.moved(aggregate);
        assert!(stuck.due(aggregate));
    }
}
