//! Failpoints: the steps at which tests strike a process, to see that everything still comes to its end.
//!
//! They exist only in debug builds with the feature `failpoints`, which tests switch on: there `armed` holds what strikes. In
//! every other build, releases first of all, [`around`] is the work itself and nothing more.

#[cfg(not(all(feature = "failpoints", debug_assertions)))]
mod absent;
#[cfg(all(feature = "failpoints", debug_assertions))]
mod armed;

#[cfg(not(all(feature = "failpoints", debug_assertions)))]
pub use absent::{around, loses};
#[cfg(all(feature = "failpoints", debug_assertions))]
pub use armed::{FOLDER, Failpoints, Moment, Point, Strike, around, loses};

/// Declares the steps together with their list, so that none can be left out of it.
macro_rules! steps {
    ($($(#[$meaning:meta])* $step:ident,)+) => {
        /// A step after which something lasting is different, so that dying before it and after it are two things.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Step { $($(#[$meaning])* $step,)+ }

        impl Step {
            /// Every step there is.
            pub const ALL: &[Self] = &[$(Self::$step),+];
        }
    };
}

steps! {
    /// Gateway executes a document; detail: its root field.
    Execute,
    /// Catalog commits a change of an event; details: its causes.
    ChangeEvent,
    /// Booking stores an offer.
    KeepOffer,
    /// Booking stops selling a cancelled event because catalog says so.
    StopSelling,
    /// Booking commits a hold.
    Hold,
    /// Booking commits a caller's command; detail: the operation.
    Command,
    /// Booking commits what time brought about; detail: the cause.
    Sweep,
    /// Booking notes that it asks payment again.
    Ask,
    /// Booking commits a check-in.
    CheckIn,
    /// Payment commits its claims on steps; details: their kinds.
    ClaimSteps,
    /// Payment asks the provider; detail: the kind of step.
    AskProvider,
    /// Payment commits the provider's answer; detail: the kind of step.
    RecordOutcome,
    /// Payment commits what the provider told unasked; detail: what that was.
    Hear,
    /// Payment commits that a stuck step is asked again.
    Retry,
    /// Payment tells its last fact once more.
    TellAgain,
    /// A relay puts facts on the log; details: their types.
    Publish,
    /// A relay marks facts as published; details: their types.
    MarkPublished,
    /// A consumer commits a fact's effect; detail: its type.
    TakeIn,
    /// A consumer commits a dead letter.
    PutAside,
    /// A consumer that met a new log has asked its producer for everything.
    Recover,
}
