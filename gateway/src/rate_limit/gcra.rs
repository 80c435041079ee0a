//! The generic cell rate algorithm: one instant per caller says how far ahead of its pace it is.

use super::Rate;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// A rate as the algorithm needs it, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time between two requests at the steady rate.
    pub interval_micros: u64,
    /// How far ahead of the steady rate one may be: the time of a full burst.
    pub burst_micros: u64,
}

impl Pace {
    /// The pace of a rate.
    pub fn of(rate: Rate) -> Self {
        let interval_micros = (MICROS_PER_SECOND / u64::from(rate.per_second.max(1))).max(1);
        Self { interval_micros, burst_micros: interval_micros * u64::from(rate.burst.max(1)) }
    }

    /// Counts a request at `now` for a caller whose next one is due at `due`.
    ///
    /// # Errors
    /// By how many microseconds it is too early.
    pub fn count(self, due: u64, now: u64) -> Result<u64, u64> {
        let next = due.max(now) + self.interval_micros;
        match next.saturating_sub(now + self.burst_micros) {
            0 => Ok(next),
            early => Err(early),
        }
    }

    /// The interval as a script's argument.
    pub fn interval_arg(self) -> i64 {
        i64::try_from(self.interval_micros).unwrap_or(i64::MAX)
    }

    /// The burst as a script's argument.
    pub fn burst_arg(self) -> i64 {
        i64::try_from(self.burst_micros).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of some requests at given instants pass, in a row.
    fn passed(pace: Pace, instants: impl Iterator<Item = u64>) -> usize {
        let mut due = 0;
        let counted = instants.filter(|now| match pace.count(due, *now) {
            Ok(next) => {
                due = next;
                true
            }
            Err(_) => false,
        });
        counted.count()
    }

    #[test]
    fn a_burst_passes_at_once_and_then_the_steady_rate() {
        let pace = Pace::of(Rate { per_second: 10, burst: 5 });
        let start = 1_000_000;

        assert_eq!(passed(pace, std::iter::repeat_n(start, 50)), 5);
        // Ten seconds of a hundred requests each: the burst, and ten per second.
        assert_eq!(passed(pace, (0..1000).map(|n| start + n * 10_000)), 5 + 99);
    }

    #[test]
    fn whoever_is_refused_is_told_when_it_would_pass() {
        let pace = Pace::of(Rate { per_second: 4, burst: 1 });
        let due = pace.count(0, 1_000_000).unwrap();

        let early = pace.count(due, 1_100_000).unwrap_err();

        assert_eq!(early, 150_000);
        assert!(pace.count(due, 1_100_000 + early - 1).is_err());
        assert!(pace.count(due, 1_100_000 + early).is_ok());
    }
}
