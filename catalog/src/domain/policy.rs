//! Cancellation policies: how much of a price comes back, and when.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::prices::AMOUNT_MAX;

/// Most brackets of one policy.
const BRACKETS_MAX: usize = 50;
/// Furthest bracket: ten years.
const HOURS_MAX: u32 = 10 * 366 * 24;

/// How much of the price comes back on a customer's cancellation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// By hours, most first. Outside every bracket nothing comes back.
    pub brackets: Vec<Bracket>,
    /// Kept from each refund, minor units.
    pub fee_minor: i64,
}

/// One step of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Checks every bracket and puts them in order.
    ///
    /// # Errors
    /// Names the first field at fault, inside `cancellation_policy`.
    pub fn checked(mut self) -> Result<Self, Fault> {
        let fault = |field: &str, message: String| Err(Fault::new(format!("cancellation_policy.{field}"), message));
        if self.brackets.len() > BRACKETS_MAX {
            return fault("brackets", format!("must be at most {BRACKETS_MAX}"));
        }
        for (i, bracket) in self.brackets.iter().enumerate() {
            if bracket.percent > 100 {
                return fault(&format!("brackets.{i}.percent"), "must be 0 to 100".into());
            }
            if bracket.hours_before > HOURS_MAX {
                return fault(&format!("brackets.{i}.hours_before"), format!("must be at most {HOURS_MAX}"));
            }
            if self.brackets[..i].iter().any(|other| other.hours_before == bracket.hours_before) {
                let message = format!("two brackets begin {} hours before the start", bracket.hours_before);
                return fault(&format!("brackets.{i}.hours_before"), message);
            }
        }
        if !(0..=AMOUNT_MAX).contains(&self.fee_minor) {
            return fault("fee_minor", format!("must be 0 to {AMOUNT_MAX}"));
        }
        self.brackets.sort_by_key(|bracket| std::cmp::Reverse(bracket.hours_before));
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(brackets: &[(u32, u32)], fee_minor: i64) -> Policy {
        let brackets = brackets.iter().map(|&(hours_before, percent)| Bracket { hours_before, percent }).collect();
        Policy { brackets, fee_minor }
    }

    #[test]
    fn brackets_are_put_in_order() {
        assert_eq!(policy(&[(24, 50), (72, 100)], 5).checked(), Ok(policy(&[(72, 100), (24, 50)], 5)));
    }

    #[test]
    fn impossible_policies_are_refused() {
        for (field, policy) in [
            ("brackets.0.percent", policy(&[(24, 101)], 0)),
            ("brackets.1.hours_before", policy(&[(24, 50), (24, 40)], 0)),
            ("brackets.0.hours_before", policy(&[(u32::MAX, 50)], 0)),
            ("fee_minor", policy(&[], -1)),
        ] {
            assert_eq!(policy.checked().unwrap_err().field, format!("cancellation_policy.{field}"));
        }
    }
}
