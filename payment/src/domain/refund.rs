//! Refunds: rows of their own, keyed by booking, so that one request gives money back once however often it arrives.

use common::ids::RefundId;
use common::money::Money;

words! {
    /// Where a refund stands.
    RefundState {
        /// Asked for before the capture is known; counts against what will be captured.
        Waiting = "waiting",
        /// The money was captured; the provider was or will be asked.
        Pending = "pending",
        /// The money went back.
        Done = "done",
        /// The provider refused too often: a person must look.
        Stuck = "stuck",
        /// Nothing was captured, so nothing goes back.
        NothingToRefund = "nothing_to_refund",
    }
}

impl RefundState {
    /// Every legal transition, as the history must show them. A refund begins as waiting, pending or nothing to refund.
    pub const TRANSITIONS: &'static [(Self, Self)] = &[
        (Self::Waiting, Self::Pending),
        (Self::Waiting, Self::NothingToRefund),
        (Self::Pending, Self::Done),
        (Self::Pending, Self::Stuck),
        (Self::Stuck, Self::Pending),
        (Self::Stuck, Self::Done),
    ];

    /// Whether `next` may follow.
    pub fn may_become(self, next: Self) -> bool {
        Self::TRANSITIONS.contains(&(self, next))
    }
}

/// Captured money on its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Key, chosen by booking.
    pub id: RefundId,
    /// How much.
    pub amount: Money,
    /// Where it stands.
    pub state: RefundState,
    /// Why, for people.
    pub reason: String,
}

impl Refund {
    /// Whether it uses up captured money: everything but a refund of nothing.
    pub fn counts(&self) -> bool {
        match self.state {
            RefundState::Waiting | RefundState::Pending | RefundState::Done | RefundState::Stuck => true,
            RefundState::NothingToRefund => false,
        }
    }
}
