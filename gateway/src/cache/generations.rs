//! What was changed when, as this process heard it, so that nothing read before a change is shown after it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::clock::Clock;

/// Counters. Two tags on one counter only cost each other a read more.
const COUNTERS: usize = 4096;

/// When each tag was last renewed, microseconds since 1970, and growing with every renewal. A generation is part of the
/// key under which a value is kept: a fill that began before a renewal ends under a key that nobody looks up any more.
pub struct Generations {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    everything: AtomicI64,
    counters: Vec<AtomicI64>,
}

impl Generations {
    /// Nothing was changed yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicI64::new(0)).collect();
        Self { clock, hasher: RandomState::new(), everything: AtomicI64::new(0), counters }
    }

    /// The generation of a tag.
    pub fn of(&self, tag: &str) -> i64 {
        self.counter(tag).load(Ordering::Acquire).max(self.everything.load(Ordering::Acquire))
    }

    /// Something about a tag was changed.
    pub fn renew(&self, tag: &str) {
        // Above the common generation, so that what `of` answers grows in any case.
        let floor = self.everything.load(Ordering::Acquire);
        self.advance(self.counter(tag), floor);
    }

    /// Anything may have been changed.
    pub fn renew_all(&self) {
        let floor = self.counters.iter().map(|counter| counter.load(Ordering::Acquire)).max().unwrap_or(0);
        self.advance(&self.everything, floor);
    }

    fn advance(&self, counter: &AtomicI64, floor: i64) {
        let now = self.clock.now().timestamp_micros();
        let next = |last: i64| now.max(last.max(floor) + 1);
        let _ = counter.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
    }

    fn counter(&self, tag: &str) -> &AtomicI64 {
        let at = self.hasher.hash_one(tag) % self.counters.len() as u64;
        &self.counters[usize::try_from(at).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use common::clock::ManualClock;

    use super::*;

    #[test]
    fn every_renewal_is_seen_even_while_the_clock_stands_still_or_goes_back() {
        let clock = Arc::new(ManualClock::at("2027-01-01T00:00:00Z".parse().unwrap()));
        let generations = Generations::new(clock.clone());
        let mut last = generations.of("a");

        for step in 0..12 {
            if step % 3 == 0 {
                clock.pass(chrono::Duration::seconds(-1));
            }
            if step % 2 == 0 {
                generations.renew("a")
            } else {
                generations.renew_all()
            }
            let now = generations.of("a");
            assert!(now > last, "step {step}");
            last = now;
        }
    }

    #[test]
    fn other_tags_keep_theirs_until_everything_is_renewed() {
        let clock = Arc::new(ManualClock::at("2027-01-01T00:00:00Z".parse().unwrap()));
        let generations = Generations::new(clock);
        let apart = (0..100)
            .map(|n| n.to_string())
            .filter(|tag| !std::ptr::eq(generations.counter(tag), generations.counter("a")));
        let tags: Vec<String> = apart.collect();

        generations.renew("a");
        assert!(tags.iter().all(|tag| generations.of(tag) == 0));

        generations.renew_all();
        assert!(tags.iter().all(|tag| generations.of(tag) > 0));
    }
}
