//! Transitions of payments, refunds and voids in the history: what a person may have to explain or to retry.

use common::history::{self, Transition};
use common::ids::{RefundId, StepId};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use super::SqlStore;
use crate::application::ports::StoreError;
use crate::domain::{Decision, Payment, StepKind};

impl SqlStore {
    pub(super) async fn write_history(
        &self,
        transaction: &DatabaseTransaction,
        decision: &Decision,
        actor: &str,
        now: i64,
    ) -> Result<(), StoreError> {
        let (before, next) = (decision.before.as_ref(), &decision.next);
        let payment = ("payment", next.id.0, before.map(|p| p.state.word()), next.state.word());
        let refunds = next.refunds.iter().map(|r| ("refund", r.id.0, refund_before(before, r.id), r.state.word()));
        let voids = next.steps.iter().filter(|s| s.kind() == StepKind::Void);
        let voids = voids.map(|v| ("void", v.id.0, void_before(before, v.id), v.state.word()));

        let moved = |(entity, entity_id, from, to): (&'static str, Uuid, Option<&'static str>, &'static str)| {
            (from != Some(to)).then(|| Transition {
                entity,
                entity_id,
                from: from.unwrap_or_default(),
                to,
                cause: decision.cause.clone(),
                actor: actor.to_owned(),
                at: now,
            })
        };
        let transitions: Vec<_> = std::iter::once(payment).chain(refunds).chain(voids).filter_map(moved).collect();
        Ok(history::write(&self.db, transaction, &transitions).await?)
    }
}

fn refund_before(before: Option<&Payment>, id: RefundId) -> Option<&'static str> {
    Some(before?.refund(id)?.state.word())
}

fn void_before(before: Option<&Payment>, id: StepId) -> Option<&'static str> {
    Some(before?.steps.iter().find(|s| s.id == id)?.state.word())
}
