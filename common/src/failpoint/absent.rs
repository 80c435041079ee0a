//! What is left of failpoints where nothing strikes: nothing.

use super::Step;

/// The work itself.
pub fn around<'a, F>(_: Step, _: impl IntoIterator<Item = &'a str>, work: F) -> F {
    work
}

/// Nothing is ever lost on purpose.
pub fn loses(_: Step, _: &str) -> bool {
    false
}
