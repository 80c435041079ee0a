//! Catalog's tables, as its writers use them: every decision is one transaction.

mod events;
mod plans;

use std::sync::Arc;

use async_trait::async_trait;
use common::clock::Clock;
use common::db::Db;
use common::failpoint::{self, Step};
use common::history::{self, Transition};
use common::ids::{EventId, SeatId, SeatingPlanId, VenueId};
use common::outbox::Outbox;
use common::proto::catalog::v1 as proto;
use common::requests::{self, Claim, RequestIdError, RequestKey};
use prost::Message;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::rows::VENUE;
use super::{queries, rows, wire};
use crate::application::ports::{Answer, Asked, CatalogStore, Committed, Import, StoreError, VenueChoice};
use crate::domain::event::{Decision, Event};
use crate::domain::plan::Outline;
use crate::domain::venue::Venue;

/// The store on SQLite or PostgreSQL.
pub struct SqlStore {
    db: Db,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
}

/// A transaction under a request id, or what that was answered before.
enum Begun {
    New(DatabaseTransaction),
    Answered(Answer),
}

impl SqlStore {
    /// A store whose facts go out through `outbox`; answers show events as they stand by `clock`.
    pub fn new(db: Db, outbox: Outbox, clock: Arc<dyn Clock>) -> Self {
        Self { db, outbox, clock }
    }

    /// Opens the transaction of a write and claims its request id; a twin waits here for the first one's outcome.
    async fn begin(&self, asked: &Asked) -> Result<Begun, StoreError> {
        let txn = self.db.begin().await?;
        let Some(key) = &asked.key else { return Ok(Begun::New(txn)) };
        match requests::claim(&self.db, &txn, key).await? {
            Claim::New => Ok(Begun::New(txn)),
            known @ (Claim::Answered(_) | Claim::Different) => {
                txn.rollback().await?;
                Ok(Begun::Answered(answered(known)?.unwrap_or_default()))
            }
        }
    }

    /// Remembers what a write is answered.
    async fn remember(&self, txn: &DatabaseTransaction, asked: &Asked, answer: &Answer) -> Result<(), DbErr> {
        match &asked.key {
            Some(key) => requests::answer(&self.db, txn, key, answer.clone()).await,
            None => Ok(()),
        }
    }

    /// An event as its transaction leaves it, on the wire.
    async fn shown(&self, txn: &DatabaseTransaction, id: EventId) -> Result<proto::Event, DbErr> {
        let row = queries::events::find(&self.db, txn, id).await?;
        let row = row.ok_or_else(|| DbErr::RecordNotFound(format!("event {id} vanished")))?;
        Ok(wire::event(row, self.clock.now()))
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
    async fn answered(&self, key: &RequestKey) -> Result<Option<Answer>, StoreError> {
        Ok(answered(requests::find(&self.db, self.db.reader(), key).await?)?)
    }

    async fn add_venue(&self, venue: &Venue, asked: &Asked) -> Result<Committed, StoreError> {
        let txn = match self.begin(asked).await? {
            Begun::New(txn) => txn,
            Begun::Answered(answer) => return Ok(Committed::Done(answer)),
        };
        if !plans::add_venue(&self.db, &txn, venue).await? {
            txn.rollback().await?;
            return Ok(Committed::Stale);
        }
        let answer = proto::CreateVenueResponse { venue: Some(wire::venue(venue.clone())) }.encode_to_vec();
        self.remember(&txn, asked, &answer).await?;
        txn.commit().await?;
        Ok(Committed::Done(answer))
    }

    async fn has_venue(&self, id: VenueId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS found FROM venues WHERE id = $1";
        Ok(!self.db.query(self.db.reader(), sql, [id.into()]).await?.is_empty())
    }

    async fn import(&self, import: Import, asked: &Asked) -> Result<Answer, StoreError> {
        let txn = match self.begin(asked).await? {
            Begun::New(txn) => txn,
            Begun::Answered(answer) => return Ok(answer),
        };
        let venue = self.find_or_add_venue(&txn, &import.venue).await?;
        plans::add_plan(&self.db, &txn, venue.id, import.plan_id, &import.plan, &import.file).await?;
        let mut event = None;
        if let Some(mut decision) = import.event {
            decision.next.venue_id = venue.id;
            events::add(&self.db, &txn, &decision.next, &venue).await?;
            self.add_consequences(&txn, &decision, &asked.actor).await?;
            event = Some(self.shown(&txn, decision.next.id).await?);
        }
        let plan = queries::plans::find(&self.db, &txn, import.plan_id).await?;
        let answer = proto::ImportSeatingPlanResponse { plan, venue: Some(wire::venue(venue)), event }.encode_to_vec();
        self.remember(&txn, asked, &answer).await?;
        txn.commit().await?;
        self.outbox.wake();
        Ok(answer)
    }

    async fn outline(&self, plan: SeatingPlanId, seats: &[SeatId]) -> Result<Option<Outline>, StoreError> {
        Ok(queries::plans::outline(&self.db, plan, seats).await?)
    }

    async fn add_event(&self, decision: Decision, asked: &Asked) -> Result<Answer, StoreError> {
        let txn = match self.begin(asked).await? {
            Begun::New(txn) => txn,
            Begun::Answered(answer) => return Ok(answer),
        };
        let venue = venue_of(&self.db, &txn, decision.next.venue_id).await?;
        events::add(&self.db, &txn, &decision.next, &venue).await?;
        self.add_consequences(&txn, &decision, &asked.actor).await?;
        let answer = self.shown(&txn, decision.next.id).await?.encode_to_vec();
        self.remember(&txn, asked, &answer).await?;
        txn.commit().await?;
        Ok(answer)
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        Ok(queries::events::find(&self.db, self.db.reader(), id).await?.map(|row| row.event))
    }

    async fn commit(&self, id: EventId, decision: Option<Decision>, asked: &Asked) -> Result<Committed, StoreError> {
        let txn = match self.begin(asked).await? {
            Begun::New(txn) => txn,
            Begun::Answered(answer) => return Ok(Committed::Done(answer)),
        };
        let Some(decision) = decision else {
            let answer = self.shown(&txn, id).await?.encode_to_vec();
            self.remember(&txn, asked, &answer).await?;
            txn.commit().await?;
            return Ok(Committed::Done(answer));
        };
        let venue = venue_of(&self.db, &txn, decision.next.venue_id).await?;
        // The guarded update also takes the row's lock, under which the fact gets its sequence number.
        if !events::replace(&self.db, &txn, &decision.next, &venue).await? {
            txn.rollback().await?;
            return Ok(Committed::Stale);
        }
        self.add_consequences(&txn, &decision, &asked.actor).await?;
        let answer = self.shown(&txn, id).await?.encode_to_vec();
        self.remember(&txn, asked, &answer).await?;
        let causes = decision.steps.iter().map(|step| step.cause);
        failpoint::around(Step::ChangeEvent, causes, txn.commit()).await?;
        self.outbox.wake();
        Ok(Committed::Done(answer))
    }
}

/// The answer given before under a request id.
fn answered(claim: Claim) -> Result<Option<Answer>, RequestIdError> {
    match claim {
        Claim::New => Ok(None),
        Claim::Answered(answer) => Ok(Some(answer)),
        Claim::Different => Err(RequestIdError::Conflict),
    }
}

async fn venue_of(db: &Db, connection: &impl ConnectionTrait, id: VenueId) -> Result<Venue, DbErr> {
    let sql = format!("SELECT {VENUE} FROM venues v WHERE v.id = $1");
    let found = db.query(connection, sql, [id.into()]).await?;
    rows::venue(found.first().ok_or_else(|| DbErr::RecordNotFound(format!("venue {id} vanished")))?)
}
