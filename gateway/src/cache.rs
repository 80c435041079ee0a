//! Catalog's public reads, kept between requests: events and venues by id, pages of searches, seating plans. In process
//! first, then in Redis, then catalog. What is kept is what everybody may see; organisers read past all of it.
//!
//! Three things bound how stale an answer can be: facts from the log and mutations through this gateway renew an event's
//! generation at once ([`facts`]), and nothing older than `staleness` is answered, whatever happened to either.

mod envelope;
pub mod facts;
mod generations;
mod level;
mod search;
mod shared;
mod source;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, NoCache};
use bytes::Bytes;
use common::auth::ServiceTokens;
use common::clock::Clock;
use common::ids::{EventId, VenueId};
use common::page::PAGE_SIZE_MAX;
use common::proto::catalog::v1 as pb;
use futures_util::future::try_join_all;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::clients::Clients;
use crate::error::Fault;
use crate::graphql::loaders::spawn;
use crate::graphql::seat_map::plan::Plan;
use crate::redis::Redis;
use generations::Generations;
pub use level::Cached;
use level::{Bounds, Ground, Level};
pub use search::SearchPage;
use shared::Shared;
pub use source::read_events;
use source::{Events, Source, Venues};

/// Tag of every page of a search: any event may enter or leave it.
const SEARCHES: &str = "searches";
/// Tag of what never changes under its id.
const FOREVER: &str = "forever";
/// How long a seating plan may be kept: it never changes, so this only bounds Redis' memory.
const PLAN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// How much is kept, and how long.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Oldest answer about an event, a venue or a search; changes are shown at once as long as the log can be read. Default 10 s.
    #[serde(with = "humantime_serde")]
    pub staleness: Duration,
    /// The same for the knowledge that there is no such event or venue. Default 2 s.
    #[serde(with = "humantime_serde")]
    pub absence: Duration,
    /// Memory in process for events, venues and searches, seating plans aside, bytes. Default 64 MiB.
    pub bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { staleness: Duration::from_secs(10), absence: Duration::from_secs(2), bytes: 64 * 1024 * 1024 }
    }
}

/// What the cache is built from.
pub struct Parts {
    /// The services.
    pub clients: Clients,
    /// The gateway's own identity.
    pub tokens: Arc<dyn ServiceTokens>,
    /// Tells how old things are.
    pub clock: Arc<dyn Clock>,
    /// The level that replicas share, when there is one.
    pub redis: Option<Arc<Redis>>,
    /// Secret that values in Redis are sealed with.
    pub secret: String,
    /// Memory for seating plans, bytes.
    pub plan_bytes: u64,
}

/// Catalog, as everybody may see it.
pub struct Catalog {
    generations: Arc<Generations>,
    shared: Option<Arc<Shared>>,
    source: Source,
    missing_events: DataLoader<Events, NoCache>,
    missing_venues: DataLoader<Venues, NoCache>,
    events: Level<Arc<pb::Event>>,
    venues: Level<Arc<pb::Venue>>,
    searches: Level<Arc<SearchPage>>,
    plans: Level<Arc<Plan>>,
}

impl Catalog {
    /// Nothing is kept yet.
    pub fn new(settings: &Settings, parts: Parts) -> Self {
        let Parts { clients, tokens, clock, redis, secret, plan_bytes } = parts;
        let generations = Arc::new(Generations::new(clock.clone()));
        let shared = redis.map(|redis| Arc::new(Shared::new(redis, &secret)));
        let ground = Ground { clock: clock.clone(), generations: generations.clone(), shared: shared.clone() };
        // Plans have generations of their own: they outlive every doubt about events.
        let lasting = Ground { generations: Arc::new(Generations::new(clock)), ..ground.clone() };
        let bounds = |share: u64| Bounds {
            bytes: settings.bytes / 8 * share,
            age: settings.staleness,
            absent_age: settings.absence.min(settings.staleness),
        };
        let source = Source::new(clients, tokens);
        Self {
            missing_events: batched(Events(source.clone())),
            missing_venues: batched(Venues(source.clone())),
            events: Level::new("events", bounds(3), ground.clone()),
            venues: Level::new("venues", bounds(1), ground.clone()),
            searches: Level::new("searches", bounds(4), ground),
            plans: Level::new("plans", Bounds { bytes: plan_bytes, age: PLAN_AGE, absent_age: PLAN_AGE }, lasting),
            source,
            generations,
            shared,
        }
    }

    /// The published events among some ids.
    ///
    /// # Errors
    /// As catalog answers.
    pub async fn events(&self, ids: &[String]) -> Result<HashMap<String, Arc<pb::Event>>, Fault> {
        let known = ids.iter().filter(|id| EventId::parse(id).is_some()).map(async |id| {
            let read = self.missing_events.load_one(id.clone());
            Ok::<_, Fault>(Some((id.clone(), self.events.get(&event_tag(id), id, read).await?)))
        });
        Ok(present(try_join_all(known).await?))
    }

    /// The venues among some ids.
    ///
    /// # Errors
    /// As catalog answers.
    pub async fn venues(&self, ids: &[String]) -> Result<HashMap<String, Arc<pb::Venue>>, Fault> {
        let known = ids.iter().filter(|id| VenueId::parse(id).is_some()).map(async |id| {
            let read = self.missing_venues.load_one(id.clone());
            Ok::<_, Fault>(Some((id.clone(), self.venues.get(&format!("venue/{id}"), id, read).await?)))
        });
        Ok(present(try_join_all(known).await?))
    }

    /// A page of published events.
    ///
    /// # Errors
    /// As catalog answers.
    pub async fn search(&self, request: pb::SearchEventsRequest) -> Result<Arc<SearchPage>, Fault> {
        let name = search::name(&request);
        let read = async { self.source.search(request).await.map(|page| Some(Arc::new(page))) };
        Ok(self.searches.get(SEARCHES, &name, read).await?.unwrap_or_default())
    }

    /// A seating plan of an event.
    ///
    /// # Errors
    /// As catalog answers; INTERNAL when there is no such plan.
    pub async fn plan(&self, id: &str) -> Result<Arc<Plan>, Fault> {
        let read = async { self.source.plan(id).await.map(|plan| Some(Arc::new(plan))) };
        let plan = self.plans.get(FOREVER, &format!("plan/{id}"), read).await?;
        plan.ok_or_else(|| Fault::internal(format!("seating plan {id} is kept as absent")))
    }

    /// Forgets an event and all searches, here and in Redis: it was changed.
    pub async fn changed(&self, event_id: &str) {
        let tag = event_tag(event_id);
        // In process first: from here on this replica also refuses what Redis got before.
        self.generations.renew(&tag);
        self.generations.renew(SEARCHES);
        if let Some(shared) = &self.shared {
            tokio::join!(shared.renew(&tag), shared.renew(SEARCHES));
        }
    }

    /// Forgets everything in process, and whatever Redis has had until now: changes may have been missed.
    pub fn forget(&self) {
        self.generations.renew_all();
    }
}

fn event_tag(id: &str) -> String {
    format!("event/{id}")
}

fn present<V>(found: Vec<Option<(String, Option<V>)>>) -> HashMap<String, V> {
    found.into_iter().flatten().filter_map(|(id, value)| Some((id, value?))).collect()
}

fn batched<L: Send + Sync + 'static>(loader: L) -> DataLoader<L, NoCache> {
    DataLoader::new(loader, spawn).max_batch_size(PAGE_SIZE_MAX as usize)
}

impl Cached for Arc<pb::Event> {
    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        pb::Event::decode(bytes).ok().map(Arc::new)
    }

    /// The encoded form is a fair measure: its texts weigh most.
    fn weight(&self) -> usize {
        size_of::<pb::Event>() + 2 * self.encoded_len()
    }
}

impl Cached for Arc<pb::Venue> {
    fn encode(&self) -> Bytes {
        self.encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        pb::Venue::decode(bytes).ok().map(Arc::new)
    }

    fn weight(&self) -> usize {
        size_of::<pb::Venue>() + self.encoded_len()
    }
}
