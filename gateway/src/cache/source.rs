//! Where the cache reads what it does not have: catalog, in the gateway's own name, what many requests miss at the same
//! time in one batch.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::Loader;
use common::auth::ServiceTokens;
use common::grpc::Caller;
use common::proto::catalog::v1 as pb;
use tonic::Status;

use super::search::SearchPage;
use crate::clients::{Clients, call_retried};
use crate::error::{Code, Fault};
use crate::graphql::seat_map::plan::{self, Plan};

/// Catalog, as everybody may see it.
#[derive(Clone)]
pub struct Source {
    clients: Clients,
    tokens: Arc<dyn ServiceTokens>,
}

impl Source {
    /// Reads with the gateway's own tokens, each call within its own time: who waits for a call may be many.
    pub fn new(clients: Clients, tokens: Arc<dyn ServiceTokens>) -> Self {
        Self { clients, tokens }
    }

    async fn caller(&self) -> Result<Caller, Fault> {
        Caller::service(self.tokens.as_ref()).await.map_err(|error| {
            tracing::error!(error = %format!("{error:#}"), "no service token");
            Fault::new(Code::Unavailable, "temporarily unavailable")
        })
    }

    /// A page of a search.
    pub async fn search(&self, request: pb::SearchEventsRequest) -> Result<SearchPage, Fault> {
        let caller = self.caller().await?;
        let answer = call_retried!(self.clients.catalog, search_events, caller, request).map_err(ours)?;
        SearchPage::of(answer).ok_or_else(|| Fault::internal("events came without their tokens"))
    }

    /// A seating plan.
    pub async fn plan(&self, id: &str) -> Result<Plan, Fault> {
        plan::read(&self.clients, &self.caller().await?, id).await
    }
}

/// Events among some that a caller may see; in halves where all of them are too large for one answer.
///
/// # Errors
/// As catalog answers.
pub async fn read_events(clients: &Clients, caller: &Caller, ids: &[String]) -> Result<Vec<pb::Event>, Status> {
    let message = pb::BatchGetEventsRequest { event_ids: ids.to_vec() };
    match call_retried!(clients.catalog, batch_get_events, caller, message) {
        Err(status) if status.code() == tonic::Code::InvalidArgument && ids.len() > 1 => {
            let (some, others) = ids.split_at(ids.len() / 2);
            let mut events = Box::pin(read_events(clients, caller, some)).await?;
            events.extend(Box::pin(read_events(clients, caller, others)).await?);
            Ok(events)
        }
        answer => answer.map(|answer| answer.events),
    }
}

/// Whether everybody may see an event: the gateway's own token would see drafts, also those that were cancelled as such.
fn is_shown(event: &pb::Event) -> bool {
    match event.status() {
        pb::EventStatus::Draft => false,
        pb::EventStatus::Cancelled => event.offer_version > 0,
        pb::EventStatus::Unspecified | pb::EventStatus::Published | pb::EventStatus::Completed => true,
    }
}

/// What a refusal of the gateway's own call means to whoever waits for it: that a service takes the gateway for nobody is
/// no fault of theirs.
fn ours(status: Status) -> Fault {
    let fault = Fault::from(status.clone());
    if matches!(fault.code, Code::Unauthenticated | Code::Forbidden) {
        tracing::error!(%status, "catalog refuses the gateway itself");
        return Fault::new(Code::Unavailable, "temporarily unavailable, try again");
    }
    fault
}

/// Loads events in batches.
pub struct Events(pub Source);

impl Loader<String> for Events {
    type Value = Arc<pb::Event>;
    type Error = Fault;

    async fn load(&self, ids: &[String]) -> Result<HashMap<String, Self::Value>, Fault> {
        let Source { clients, tokens: _ } = &self.0;
        let events = read_events(clients, &self.0.caller().await?, ids).await.map_err(ours)?;
        Ok(events.into_iter().filter(is_shown).map(|event| (event.id.clone(), Arc::new(event))).collect())
    }
}

/// Loads venues in batches.
pub struct Venues(pub Source);

impl Loader<String> for Venues {
    type Value = Arc<pb::Venue>;
    type Error = Fault;

    async fn load(&self, ids: &[String]) -> Result<HashMap<String, Self::Value>, Fault> {
        let caller = self.0.caller().await?;
        let message = pb::BatchGetVenuesRequest { venue_ids: ids.to_vec() };
        let answer = call_retried!(self.0.clients.catalog, batch_get_venues, caller, message).map_err(ours)?;
        Ok(answer.venues.into_iter().map(|venue| (venue.id.clone(), Arc::new(venue))).collect())
    }
}
