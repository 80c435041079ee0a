//! Loaders of one request: what many fields ask for singly goes out as one batch call per service.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use async_graphql::futures_util::future::BoxFuture;
use async_graphql::{Context, futures_util::FutureExt};
use common::grpc::Caller;
use common::page::PAGE_SIZE_MAX;
use common::proto::booking::v1 as booking;
use common::proto::catalog::v1 as catalog;
use common::proto::payment::v1 as payment;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::Api;
use crate::cache::read_events;
use crate::clients::call_retried;
use crate::error::Fault;
use crate::viewer::Viewer;

type Cached<L> = DataLoader<L, HashMapCache>;

/// The loaders of one request.
pub struct Loaders {
    /// Events that the viewer may see, by id.
    pub events: Cached<Events>,
    /// Venues, by id.
    pub venues: Cached<Venues>,
    /// Places per event id; absent for events that booking does not know yet.
    pub availability: Cached<Availabilities>,
    /// Payments that the viewer may see, by booking id.
    pub payments: Cached<Payments>,
}

impl Loaders {
    /// Loaders that call on the viewer's behalf.
    pub fn new(api: &Arc<Api>, viewer: &Viewer) -> Self {
        let source = |caller: &Caller| Source { api: api.clone(), caller: caller.clone() };
        Self {
            events: cached(Events { source: source(viewer.reader()), organiser: viewer.is_admin() }),
            venues: cached(Venues { source: source(viewer.reader()), organiser: viewer.is_admin() }),
            availability: cached(Availabilities(source(viewer.service()))),
            payments: cached(Payments(source(viewer.reader()))),
        }
    }

    /// The loaders of a request.
    pub fn of<'a>(ctx: &Context<'a>) -> &'a Self {
        ctx.data_unchecked()
    }
}

/// Whose token goes out to which services.
pub struct Source {
    api: Arc<Api>,
    caller: Caller,
}

fn cached<L: Send + Sync + 'static>(loader: L) -> Cached<L> {
    DataLoader::with_cache(loader, spawn, HashMapCache::default()).max_batch_size(PAGE_SIZE_MAX as usize)
}

/// Runs a batch under the span of the request that waits for it; without, the trace would break here.
#[expect(clippy::disallowed_methods, reason = "a batch lives no longer than its call's deadline")]
pub fn spawn(batch: BoxFuture<'static, ()>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(batch.instrument(Span::current()).boxed())
}

/// What cannot be an id is not asked for: it is unknown.
fn well_formed(keys: &[String]) -> Vec<String> {
    keys.iter().filter(|key| Uuid::try_parse(key).is_ok()).cloned().collect()
}

/// Loads events: drafts too for organisers, who read what is stored now; for everybody else, what is kept of the others.
pub struct Events {
    source: Source,
    organiser: bool,
}

impl Loader<String> for Events {
    type Value = Arc<catalog::Event>;
    type Error = Fault;

    async fn load(&self, keys: &[String]) -> Result<HashMap<String, Self::Value>, Fault> {
        let Source { api, caller } = &self.source;
        if !self.organiser {
            return api.catalog.events(keys).await;
        }
        let event_ids = well_formed(keys);
        if event_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let events = read_events(&api.clients, caller, &event_ids).await?;
        Ok(events.into_iter().map(|event| (event.id.clone(), Arc::new(event))).collect())
    }
}

/// Loads venues.
pub struct Venues {
    source: Source,
    organiser: bool,
}

impl Loader<String> for Venues {
    type Value = Arc<catalog::Venue>;
    type Error = Fault;

    async fn load(&self, keys: &[String]) -> Result<HashMap<String, Self::Value>, Fault> {
        let Source { api, caller } = &self.source;
        if !self.organiser {
            return api.catalog.venues(keys).await;
        }
        let venue_ids = well_formed(keys);
        if venue_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let message = catalog::BatchGetVenuesRequest { venue_ids };
        let answer = call_retried!(api.clients.catalog, batch_get_venues, caller, message)?;
        Ok(answer.venues.into_iter().map(|venue| (venue.id.clone(), Arc::new(venue))).collect())
    }
}

/// Loads free, held and sold places.
pub struct Availabilities(Source);

impl Loader<String> for Availabilities {
    type Value = booking::Availability;
    type Error = Fault;

    async fn load(&self, keys: &[String]) -> Result<HashMap<String, Self::Value>, Fault> {
        let Source { api, caller } = &self.0;
        let message = booking::BatchGetAvailabilityRequest { event_ids: keys.to_vec() };
        let answer = call_retried!(api.clients.booking, batch_get_availability, caller, message)?;
        Ok(answer.availabilities.into_iter().map(|places| (places.event_id.clone(), places)).collect())
    }
}

/// Loads payments.
pub struct Payments(Source);

impl Loader<String> for Payments {
    type Value = payment::Payment;
    type Error = Fault;

    async fn load(&self, keys: &[String]) -> Result<HashMap<String, Self::Value>, Fault> {
        let Source { api, caller } = &self.0;
        let message = payment::BatchGetPaymentsRequest { booking_ids: keys.to_vec() };
        let answer = call_retried!(api.clients.payment, batch_get_payments, caller, message)?;
        Ok(answer.payments.into_iter().map(|payment| (payment.booking_id.clone(), payment)).collect())
    }
}
