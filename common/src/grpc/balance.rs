//! Which of a peer's replicas is asked: of two picked at random, the one with fewer calls under way. A replica that just
//! failed rests, and is then tried by one call before the others follow.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Rest after a first failure; doubles. Longer than the pauses between retries, so that a retry goes elsewhere.
const REST_MIN: Duration = Duration::from_millis(200);
/// Longest rest.
const REST_MAX: Duration = Duration::from_secs(3);

/// The replicas of one peer, by number.
pub(super) struct Balance {
    replicas: Vec<Arc<Replica>>,
    dice: Dice,
}

/// What is known about one replica.
#[derive(Default)]
struct Replica {
    under_way: AtomicUsize,
    trouble: Mutex<Option<Trouble>>,
}

/// A replica that has not answered since it failed.
#[derive(Clone, Copy)]
struct Trouble {
    failures: u32,
    failed_at: Instant,
    rests_until: Instant,
}

impl Balance {
    /// So many replicas, all of them well.
    pub(super) fn new(replicas: usize) -> Self {
        Self { replicas: (0..replicas).map(|_| Arc::default()).collect(), dice: Dice::new() }
    }

    /// Chooses a replica for a call: its number, and the call to judge when it has ended.
    pub(super) fn choose(&self, now: Instant) -> (usize, Call) {
        let awake: Vec<usize> = (0..self.replicas.len()).filter(|n| !self.replicas[*n].rests(now)).collect();
        let chosen = match awake.as_slice() {
            // Never nobody: the one whose failure is oldest is the likeliest to be back.
            [] => (0..self.replicas.len()).min_by_key(|n| self.replicas[*n].failed_at()).unwrap_or_default(),
            [only] => *only,
            several => self.lighter_of_two(several),
        };
        (chosen, Call::begin(self.replicas[chosen].clone(), now))
    }

    fn lighter_of_two(&self, awake: &[usize]) -> usize {
        let first = self.dice.below(awake.len());
        let second = (first + 1 + self.dice.below(awake.len() - 1)) % awake.len();
        let (first, second) = (awake[first], awake[second]);
        if self.replicas[second].load() < self.replicas[first].load() { second } else { first }
    }
}

impl Replica {
    fn load(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    fn rests(&self, now: Instant) -> bool {
        self.trouble().is_some_and(|trouble| now < trouble.rests_until)
    }

    fn failed_at(&self) -> Option<Instant> {
        self.trouble().map(|trouble| trouble.failed_at)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().expect("no holder of this lock panics")
    }
}

/// A call under way, until dropped.
pub(super) struct Call {
    replica: Arc<Replica>,
    began: Instant,
}

impl Call {
    fn begin(replica: Arc<Replica>, now: Instant) -> Self {
        replica.under_way.fetch_add(1, Ordering::Relaxed);
        if let Some(trouble) = &mut *replica.trouble() {
            // Tried by this call alone: the others wait until it has answered.
            trouble.rests_until = now + rest(trouble.failures);
        }
        Self { replica, began: now }
    }

    /// The replica answered.
    pub(super) fn succeeded(&self) {
        let mut trouble = self.replica.trouble();
        if trouble.is_some_and(|trouble| trouble.failed_at < self.began) {
            *trouble = None;
        }
    }

    /// The replica could not be reached, or said that it cannot answer.
    pub(super) fn failed(&self, now: Instant) {
        let mut trouble = self.replica.trouble();
        // One outage fails all calls under way; it counts once.
        if trouble.is_some_and(|trouble| trouble.failed_at >= self.began) {
            return;
        }
        let failures = trouble.map_or(0, |trouble| trouble.failures).saturating_add(1);
        *trouble = Some(Trouble { failures, failed_at: now, rests_until: now + rest(failures) });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.replica.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

fn rest(failures: u32) -> Duration {
    REST_MIN.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(REST_MAX)
}

/// Numbers that differ from process to process; nothing depends on their being unpredictable (SplitMix64).
struct Dice(AtomicU64);

impl Dice {
    fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one(())))
    }

    fn below(&self, bound: usize) -> usize {
        let mut n = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((n ^ (n >> 31)) % (bound.max(1) as u64)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    /// A call of this replica's fails at once.
    fn fail(balance: &Balance, replica: usize, now: Instant) {
        Call::begin(balance.replicas[replica].clone(), now).failed(now);
    }

    /// How many of a hundred calls, each ended before the next, every replica gets.
    fn of_hundred(balance: &Balance, now: Instant) -> Vec<usize> {
        let mut counts = vec![0; balance.replicas.len()];
        for _ in 0..100 {
            counts[balance.choose(now).0] += 1;
        }
        counts
    }

    #[test]
    fn idle_replicas_share_the_calls() {
        let counts = of_hundred(&Balance::new(3), Instant::now());

        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    }

    #[test]
    fn calls_that_do_not_end_drive_others_elsewhere() {
        let (balance, now) = (Balance::new(2), Instant::now());
        let (replica, stuck) = balance.choose(now);

        assert_eq!(of_hundred(&balance, now)[1 - replica], 100);
        drop(stuck);
        assert!(of_hundred(&balance, now)[replica] > 0);
    }

    #[test]
    fn a_replica_that_failed_rests_and_is_tried_by_one_call_before_the_others_follow() {
        let (balance, now) = (Balance::new(2), Instant::now());
        fail(&balance, 1, now);
        assert_eq!(of_hundred(&balance, now), [100, 0]);

        let rested = now + REST_MIN;
        let calls: Vec<_> = (0..100).map(|_| balance.choose(rested)).collect();
        let trials: Vec<&Call> = calls.iter().filter(|(replica, _)| *replica == 1).map(|(_, call)| call).collect();

        assert_eq!(trials.len(), 1);
        trials[0].succeeded();
        drop(calls);
        assert!(of_hundred(&balance, rested)[1] > 0);
    }

    #[test]
    fn when_all_rest_the_least_recently_failed_is_tried() {
        let (balance, now) = (Balance::new(2), Instant::now());
        fail(&balance, 1, now);
        fail(&balance, 0, now + MILLISECOND);

        assert_eq!(balance.choose(now + MILLISECOND).0, 1);
    }

    #[test]
    fn one_outage_counts_once_and_later_ones_rest_longer() {
        let (balance, mut now) = (Balance::new(1), Instant::now());
        let rests_until = |balance: &Balance| balance.replicas[0].trouble().unwrap().rests_until;

        for (_, call) in (0..50).map(|_| balance.choose(now)).collect::<Vec<_>>() {
            call.failed(now);
        }
        assert_eq!(rests_until(&balance), now + REST_MIN);
        for _ in 0..10 {
            now += MILLISECOND;
            balance.choose(now).1.failed(now);
        }
        assert_eq!(rests_until(&balance), now + REST_MAX);
    }

    #[test]
    fn an_answer_to_an_older_call_does_not_end_a_rest() {
        let (balance, now) = (Balance::new(1), Instant::now());
        let (_, older) = balance.choose(now);
        fail(&balance, 0, now + MILLISECOND);

        older.succeeded();

        assert!(balance.replicas[0].rests(now + MILLISECOND));
    }
}
