//! What was measured, as a table: count, rate and percentiles per kind of call.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Latencies by kind of call, and what failed.
#[derive(Debug, Default)]
pub struct Report {
    latencies: BTreeMap<&'static str, Vec<Duration>>,
    failures: BTreeMap<String, u32>,
}

impl Report {
    /// Waits for a call and notes what became of it; `None` when it failed.
    pub async fn time<T>(&mut self, kind: &'static str, call: impl Future<Output = anyhow::Result<T>>) -> Option<T> {
        let began = Instant::now();
        let outcome = call.await;
        self.note(kind, began.elapsed(), outcome)
    }

    /// Notes what became of a call that took so long.
    pub fn note<T>(&mut self, kind: &'static str, took: Duration, outcome: anyhow::Result<T>) -> Option<T> {
        match outcome {
            Ok(answer) => {
                self.latencies.entry(kind).or_default().push(took);
                Some(answer)
            }
            Err(error) => {
                *self.failures.entry(format!("{kind}: {error:#}")).or_default() += 1;
                None
            }
        }
    }

    /// Adds what another user saw.
    pub fn merge(&mut self, other: Self) {
        for (kind, latencies) in other.latencies {
            self.latencies.entry(kind).or_default().extend(latencies);
        }
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }

    /// Prints the table.
    ///
    /// # Errors
    /// Anything failed: then the figures are worth nothing.
    pub fn print(mut self, over: Duration) -> anyhow::Result<()> {
        println!(
            "{:<16} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "call", "count", "per s", "p50 ms", "p95 ms", "p99 ms", "max ms"
        );
        for (kind, latencies) in &mut self.latencies {
            latencies.sort_unstable();
            #[expect(clippy::cast_precision_loss, reason = "counts are small")]
            let rate = latencies.len() as f64 / over.as_secs_f64();
            let [p50, p95, p99, max] =
                [50, 95, 99, 100].map(|percent| percentile(latencies, percent).as_secs_f64() * 1e3);
            println!("{kind:<16} {:>8} {rate:>9.1} {p50:>9.1} {p95:>9.1} {p99:>9.1} {max:>9.1}", latencies.len());
        }
        for (failure, count) in self.failures.iter().take(10) {
            println!("failed {count} times: {failure}");
        }
        let failed: u32 = self.failures.values().sum();
        anyhow::ensure!(failed == 0, "{failed} calls failed");
        Ok(())
    }
}

/// The smallest latency that so many percent do not exceed; of a sorted list.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let sorted: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();

        let of = |percent| percentile(&sorted, percent).as_millis();

        assert_eq!([of(50), of(95), of(99), of(100)], [10, 19, 20, 20]);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn a_failure_makes_the_figures_worthless() {
        let mut report = Report::default();
        report.note("hold", Duration::from_millis(1), Ok(()));
        let mut other = Report::default();
        other.note::<()>("hold", Duration::ZERO, Err(anyhow::anyhow!("no answer in time")));

        report.merge(other);

        assert_eq!(report.print(Duration::from_secs(1)).unwrap_err().to_string(), "1 calls failed");
    }
}
