//! Catalog's tables, as its writers use them: every decision is one transaction.

mod events;
mod plans;

use async_trait::async_trait;
use common::db::Db;
use common::failpoint::{self, Step};
use common::history::{self, Transition};
use common::ids::{EventId, SeatId, SeatingPlanId, VenueId};
use common::outbox::Outbox;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::rows::{EVENT, EVENT_TABLES, VENUE};
use super::{queries, rows};
use crate::application::ports::{CatalogStore, Committed, Import, StoreError, VenueChoice};
use crate::domain::event::{Decision, Event};
use crate::domain::plan::Outline;
use crate::domain::venue::Venue;

/// The store on SQLite or PostgreSQL.
pub struct SqlStore {
    db: Db,
    outbox: Outbox,
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self(error.into())
    }
}

impl SqlStore {
    /// A store whose facts go out through `outbox`.
    pub fn new(db: Db, outbox: Outbox) -> Self {
        Self { db, outbox }
    }

    /// Writes what a decision adds beside its event: history, offer and fact.
    async fn add_consequences(&self, txn: &DatabaseTransaction, decision: &Decision, actor: &str) -> Result<(), DbErr> {
        let at = self.db.now(txn).await?.timestamp_micros();
        let transitions: Vec<Transition> = decision
            .steps
            .iter()
            .map(|step| Transition {
                entity: "event",
                entity_id: decision.next.id.0,
                from: step.from,
                to: step.to,
                cause: step.cause.to_owned(),
                actor: actor.to_owned(),
                at,
            })
            .collect();
        history::write(&self.db, txn, &transitions).await?;
        if let Some(offer) = &decision.offer {
            events::add_offer(&self.db, txn, offer, at).await?;
        }
        if let Some(fact) = events::fact(decision) {
            self.outbox.append(txn, &[fact]).await?;
        }
        Ok(())
    }

    async fn find_or_add_venue(&self, txn: &DatabaseTransaction, choice: &VenueChoice) -> Result<Venue, DbErr> {
        let (column, value) = match choice {
            VenueChoice::Existing(id) => ("id", (*id).into()),
            VenueChoice::Named(venue) => {
                plans::add_venue(&self.db, txn, venue).await?;
                ("name", venue.name.clone().into())
            }
        };
        // Locked, so that two imports cannot give two plans one version.
        let sql = format!("SELECT {VENUE} FROM venues v WHERE v.{column} = $1{}", self.db.for_update());
        let found = self.db.query(txn, sql, [value]).await?;
        rows::venue(found.first().ok_or_else(|| DbErr::RecordNotFound("venue vanished".into()))?)
    }
}

#[async_trait]
impl CatalogStore for SqlStore {
    async fn add_venue(&self, venue: &Venue) -> Result<bool, StoreError> {
        Ok(plans::add_venue(&self.db, self.db.writer(), venue).await?)
    }

    async fn has_venue(&self, id: VenueId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS found FROM venues WHERE id = $1";
        Ok(!self.db.query(self.db.reader(), sql, [id.into()]).await?.is_empty())
    }

    async fn import(&self, import: Import) -> Result<(), StoreError> {
        let txn = self.db.begin().await?;
        let venue = self.find_or_add_venue(&txn, &import.venue).await?;
        plans::add_plan(&self.db, &txn, venue.id, import.plan_id, &import.plan, &import.file).await?;
        if let Some(mut decision) = import.event {
            decision.next.venue_id = venue.id;
            events::add(&self.db, &txn, &decision.next, &venue).await?;
            self.add_consequences(&txn, &decision, &import.actor).await?;
        }
        txn.commit().await?;
        self.outbox.wake();
        Ok(())
    }

    async fn outline(&self, plan: SeatingPlanId, seats: &[SeatId]) -> Result<Option<Outline>, StoreError> {
        Ok(queries::plans::outline(&self.db, plan, seats).await?)
    }

    async fn add_event(&self, decision: Decision, actor: &str) -> Result<(), StoreError> {
        let txn = self.db.begin().await?;
        let venue = venue_of(&self.db, &txn, decision.next.venue_id).await?;
        events::add(&self.db, &txn, &decision.next, &venue).await?;
        self.add_consequences(&txn, &decision, actor).await?;
        txn.commit().await?;
        Ok(())
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let sql = format!("SELECT {EVENT}, {VENUE} FROM {EVENT_TABLES} WHERE e.id = $1");
        let found = self.db.query(self.db.reader(), sql, [id.into()]).await?;
        Ok(found.first().map(rows::event).transpose()?.map(|row| row.event))
    }

    async fn commit(&self, decision: Decision, actor: &str) -> Result<Committed, StoreError> {
        let txn = self.db.begin().await?;
        let venue = venue_of(&self.db, &txn, decision.next.venue_id).await?;
        // The guarded update also takes the row's lock, under which the fact gets its sequence number.
        if !events::replace(&self.db, &txn, &decision.next, &venue).await? {
            txn.rollback().await?;
            return Ok(Committed::Stale);
        }
        self.add_consequences(&txn, &decision, actor).await?;
        let causes = decision.steps.iter().map(|step| step.cause);
        failpoint::around(Step::ChangeEvent, causes, txn.commit()).await?;
        self.outbox.wake();
        Ok(Committed::Done)
    }
}

async fn venue_of(db: &Db, connection: &impl ConnectionTrait, id: VenueId) -> Result<Venue, DbErr> {
    let sql = format!("SELECT {VENUE} FROM venues v WHERE v.id = $1");
    let found = db.query(connection, sql, [id.into()]).await?;
    rows::venue(found.first().ok_or_else(|| DbErr::RecordNotFound(format!("venue {id} vanished")))?)
}
