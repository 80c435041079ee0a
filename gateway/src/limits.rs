//! What a document may cost, checked before the GraphQL engine sees it: [`tokens`] before it is parsed, [`document`] after.

pub mod document;
pub mod tokens;

/// A bound that a document breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// More than allowed.
    #[error("the document has {value} {what}, the limit is {limit}")]
    Over {
        /// What was counted.
        what: &'static str,
        /// How much there is; counting may have stopped here.
        value: u64,
        /// How much there may be.
        limit: u64,
    },
    /// A fragment that contains itself.
    #[error("fragment {0:?} contains itself")]
    Cycle(String),
    /// Introspection where it is off.
    #[error("introspection is off here; the schema is published as schema.graphql")]
    Introspection,
}

/// Refuses what is over its limit.
fn within(what: &'static str, value: u64, limit: u64) -> Result<(), Exceeded> {
    if value > limit {
        return Err(Exceeded::Over { what, value, limit });
    }
    Ok(())
}
