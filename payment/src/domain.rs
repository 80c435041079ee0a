//! Payments as states and rules: no I/O, no clock, no wire format. A payment is decided on as a whole, with its steps
//! and refunds, and every decision carries what it wants written and told.

/// An enum whose variants are stored as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word stored for it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the stored word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }
    };
}

mod answers;
mod decision;
mod ledger;
mod notice;
mod payment;
mod refund;
mod requests;
mod retry;
mod step;
#[cfg(test)]
mod tests;

pub use decision::{Alarm, Decision, Impossible, PaymentFact};
pub use ledger::{Account, Movement, MovementKind};
pub use notice::News;
pub use payment::{Payment, PaymentState};
pub use refund::{Refund, RefundState};
pub use retry::NotStuck;
pub use step::{Outcome, Patience, Reference, Step, StepKind, StepState, Work};
