//! Cancellation policies, frozen with the offer a booking was made from: how much of a price comes back, and when.

use chrono::Duration;

/// How much comes back when a customer cancels before the event starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    brackets: Vec<Bracket>,
    fee_minor: i64,
}

/// One step of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bracket {
    /// Applies from this many hours before the start.
    pub hours_before: u32,
    /// Percent that comes back, 0 to 100.
    pub percent: u32,
}

impl Default for Policy {
    /// Everything comes back until the start.
    fn default() -> Self {
        Self { brackets: vec![Bracket { hours_before: 0, percent: 100 }], fee_minor: 0 }
    }
}

impl Policy {
    /// A policy of these brackets in any order, and a flat fee in minor units; `None` when a percentage or the fee is out of
    /// range.
    pub fn new(mut brackets: Vec<Bracket>, fee_minor: i64) -> Option<Self> {
        let sound = fee_minor >= 0 && brackets.iter().all(|bracket| bracket.percent <= 100);
        brackets.sort_by_key(|bracket| std::cmp::Reverse(bracket.hours_before));
        sound.then_some(Self { brackets, fee_minor })
    }

    /// What of `left_minor` comes back when the event starts in `until_start`: the percentage of the widest bracket that is
    /// still open, rounded down, less the fee; nothing outside every bracket.
    pub fn refund_minor(&self, left_minor: i64, until_start: Duration) -> i64 {
        let open = |bracket: &&Bracket| until_start >= Duration::hours(bracket.hours_before.into());
        let percent = self.brackets.iter().find(open).map_or(0, |bracket| bracket.percent);
        let share = i128::from(left_minor) * i128::from(percent) / 100;
        i64::try_from(share).unwrap_or(left_minor).saturating_sub(self.fee_minor).max(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(brackets: &[(u32, u32)], fee_minor: i64) -> Policy {
        let brackets = brackets.iter().map(|&(hours_before, percent)| Bracket { hours_before, percent }).collect();
        Policy::new(brackets, fee_minor).unwrap()
    }

    #[test]
    fn the_widest_open_bracket_counts_less_the_fee() {
        let policy = policy(&[(24, 50), (168, 100), (2, 10)], 300);
        for (hours, minutes, expected) in
            [(200, 0, 9_700), (168, 0, 9_700), (167, 59, 4_700), (24, 0, 4_700), (23, 59, 700), (2, 0, 700), (1, 59, 0)]
        {
            let until_start = Duration::hours(hours) + Duration::minutes(minutes);
            assert_eq!(policy.refund_minor(10_000, until_start), expected, "{hours} h {minutes} min");
        }
    }

    #[test]
    fn shares_are_rounded_down_and_a_fee_never_takes_more_than_there_is() {
        assert_eq!(policy(&[(0, 50)], 0).refund_minor(2_501, Duration::hours(1)), 1_250);
        assert_eq!(policy(&[(0, 50)], 2_000).refund_minor(2_500, Duration::hours(1)), 0);
        assert_eq!(policy(&[], 0).refund_minor(2_500, Duration::hours(1)), 0);
        assert_eq!(Policy::default().refund_minor(i64::MAX, Duration::zero()), i64::MAX);
    }

    #[test]
    fn impossible_policies_are_refused() {
        assert_eq!(Policy::new(vec![Bracket { hours_before: 1, percent: 101 }], 0), None);
        assert_eq!(Policy::new(vec![], -1), None);
    }

    proptest! {
        #[test]
        fn a_refund_is_never_more_than_what_is_left(
            brackets in prop::collection::vec((0_u32..10_000, 0_u32..=100), 0..10),
            fee_minor in 0..=i64::MAX,
            left_minor in 0..=i64::MAX,
            minutes in 0_i64..1_000_000,
        ) {
            let refund = policy(&brackets, fee_minor).refund_minor(left_minor, Duration::minutes(minutes));

            prop_assert!((0..=left_minor).contains(&refund));
        }

        #[test]
        fn brackets_that_fall_make_waiting_never_pay(
            hours in prop::collection::btree_set(0_u32..2_000, 0..10),
            mut percents in prop::collection::vec(0_u32..=100, 10),
            fee_minor in 0_i64..5_000,
            left_minor in 0_i64..1_000_000,
            (sooner, later) in (0_i64..200_000, 0_i64..200_000),
        ) {
            percents.sort_unstable();
            let brackets: Vec<(u32, u32)> = hours.into_iter().zip(percents).collect();
            let policy = policy(&brackets, fee_minor);
            let refund = |minutes| policy.refund_minor(left_minor, Duration::minutes(minutes));

            prop_assert!(refund(sooner.max(later)) >= refund(sooner.min(later)));
        }
    }
}
