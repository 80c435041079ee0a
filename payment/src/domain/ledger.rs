//! The ledger's accounts and movements: append-only double entry, in which each movement's debits equal its credits.
//!
//! | movement | debit | credit | when |
//! |---|---|---|---|
//! | hold | `authorised` | `customer_hold` | an authorisation is approved |
//! | release | `customer_hold` | `authorised` | it is captured, voided, or its capture fails |
//! | capture | `provider_receivable` | `customer` | the money is taken |
//! | refund | `customer` | `provider_receivable` | money goes back |
//!
//! So the balance of `authorised` is what the provider holds for us but has not taken, that of `provider_receivable`
//! is captured minus refunded, the credits of `customer` are what was captured, and its debits what was refunded.

use common::money::Money;

words! {
    /// Where money stands.
    Account {
        /// Held by the provider for us, not taken.
        Authorised = "authorised",
        /// The other side of `authorised`: the customer's money under a hold.
        CustomerHold = "customer_hold",
        /// Taken: what the provider owes us.
        ProviderReceivable = "provider_receivable",
        /// What the customer has paid, less what went back.
        Customer = "customer",
    }
}

words! {
    /// How money moves.
    MovementKind {
        /// The provider reserves it.
        Hold = "hold",
        /// The reservation ends.
        Release = "release",
        /// It is taken.
        Capture = "capture",
        /// It goes back.
        Refund = "refund",
    }
}

impl MovementKind {
    /// The account debited.
    pub fn debit(self) -> Account {
        match self {
            Self::Hold => Account::Authorised,
            Self::Release => Account::CustomerHold,
            Self::Capture => Account::ProviderReceivable,
            Self::Refund => Account::Customer,
        }
    }

    /// The account credited.
    pub fn credit(self) -> Account {
        match self {
            Self::Hold => Account::CustomerHold,
            Self::Release => Account::Authorised,
            Self::Capture => Account::Customer,
            Self::Refund => Account::ProviderReceivable,
        }
    }
}

/// Money moving once between two accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// How.
    pub kind: MovementKind,
    /// How much, more than zero.
    pub amount: Money,
    /// What caused it, unique within the payment: `capture 1`, `refund <id>`. The database refuses a second one.
    pub cause: String,
}
