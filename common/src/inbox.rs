//! Facts in: effect, inbox row, new outbox rows and offset commit in one transaction, so each fact takes effect once.

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr};
use uuid::Uuid;

use crate::fact::{Fact, FactError};
use crate::proto::common::v1::FactRecord;

/// What a service does with the facts of others.
#[async_trait]
pub trait FactHandler: Send + Sync {
    /// Applies a fact inside the inbox transaction. A refusal of the domain is no error: record it and return `Ok`.
    async fn handle(&self, transaction: &DatabaseTransaction, fact: &Fact) -> Result<(), HandleError>;

    /// Called after the commit, to wake what waits for new rows.
    fn committed(&self);
}

/// Why a fact could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Will not go away by itself: the fact becomes a dead letter.
    #[error("the fact cannot be handled")]
    Permanent(#[source] anyhow::Error),
    /// Try again.
    #[error("handling failed for now")]
    Transient(#[source] anyhow::Error),
}

impl From<DbErr> for HandleError {
    fn from(error: DbErr) -> Self {
        Self::Transient(error.into())
    }
}

impl From<FactError> for HandleError {
    fn from(error: FactError) -> Self {
        Self::Permanent(error.into())
    }
}

/// A producer that can be asked for its facts: its `ListFacts` RPC.
#[async_trait]
pub trait FactSource: Send + Sync {
    /// Facts of one aggregate after a sequence, in order; a page, and whether more follow.
    async fn of_aggregate(&self, aggregate: Uuid, after_sequence: i64) -> anyhow::Result<(Vec<FactRecord>, bool)>;

    /// All facts after a position, in order; a page, its last position, and whether more follow.
    async fn after_position(&self, position: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)>;
}
