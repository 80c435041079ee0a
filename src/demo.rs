//! Demo data: venues, plans and events for a product that has none, made through catalog's own gRPC.
//!
//! Every step looks first for what is there, so a start that was killed in the middle is finished by the next one.

mod hall;
mod programme;
mod venues;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use common::auth::Role;
use common::clock::{Clock, SystemClock, from_wire, to_wire};
use common::dev_issuer::DevIssuer;
use common::grpc::{Caller, MeshChannel, with_retry};
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use common::proto::catalog::v1::import_seating_plan_request::Part;
use common::proto::catalog::v1::{
    CreateEventRequest, Event, EventStatus, ImportSeatingPlanRequest, ListSeatingPlansRequest, ListVenuesRequest,
    PublishEventRequest, SearchEventsRequest, SeatingPlanSummary, Venue,
};

use crate::folder::RunFile;
use programme::{Show, Stage};
use venues::DemoVenue;

/// Below this many events on sale, new ones are added.
const ON_SALE_MIN: usize = 6;
/// Time for one call, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of one listing.
const PAGE_SIZE: u32 = 100;
/// Pages read at most; a folder with more than that is no demo.
const PAGES_MAX: usize = 50;
/// Bytes of one message of an import.
const CHUNK_BYTES: usize = 64 * 1024;

type Catalog = CatalogServiceClient<MeshChannel>;

/// Makes what is missing; nothing in a folder with data of its own.
///
/// # Errors
/// Catalog refuses or does not answer.
pub async fn make(run: &RunFile, issuer: &Arc<DevIssuer>) -> anyhow::Result<()> {
    let channel = MeshChannel::new("catalog", [format!("http://{}", run.grpc.catalog)])?;
    let token = issuer.mint("eventix-demo", Role::Admin)?;
    let mut maker = Maker { catalog: CatalogServiceClient::new(channel), token, now: SystemClock.now() };
    let venues = maker.venues().await?;
    let demo = venues::all();
    if !venues.is_empty() && !venues.iter().any(|venue| demo.iter().any(|d| d.name == venue.name)) {
        return Ok(());
    }
    let missing = maker.missing_shows().await?;
    if missing.is_empty() {
        return Ok(());
    }
    tracing::info!(events = missing.len(), "making demo events");
    let stages = maker.stages(&venues, demo).await?;
    for show in missing {
        maker.put_on_sale(show, &stages).await.with_context(|| format!("event {:?}", show.title))?;
    }
    Ok(())
}

struct Maker {
    catalog: Catalog,
    token: String,
    now: DateTime<Utc>,
}

impl Maker {
    fn caller(&self) -> Caller {
        Caller::user(&self.token, Instant::now() + PATIENCE)
    }

    /// The first page says enough: the folder is empty, a demo, or neither.
    async fn venues(&self) -> anyhow::Result<Vec<Venue>> {
        let request = ListVenuesRequest { page_size: PAGE_SIZE, page_token: String::new() };
        let list = || {
            let (mut catalog, request) = (self.catalog.clone(), self.caller().request(request.clone()));
            async move { catalog.list_venues(request).await }
        };
        Ok(with_retry(list).await?.venues)
    }

    /// Shows of the programme to put on: those not on sale, when too few are or a first start was cut short.
    async fn missing_shows(&self) -> anyhow::Result<Vec<&'static Show>> {
        let upcoming = self.upcoming().await?;
        let on_sale: Vec<&Event> = upcoming.iter().filter(|event| self.is_on_sale(event)).collect();
        let shows = programme::all();
        if on_sale.len() >= ON_SALE_MIN && self.ever_made().await? {
            return Ok(Vec::new());
        }
        Ok(shows.iter().filter(|show| !on_sale.iter().any(|event| event.title == show.title)).collect())
    }

    async fn upcoming(&self) -> anyhow::Result<Vec<Event>> {
        let published = EventStatus::Published.into();
        self.search(SearchEventsRequest { from: Some(to_wire(self.now)), status: published, ..Default::default() })
            .await
    }

    /// Whether every show of the programme was put on once.
    async fn ever_made(&self) -> anyhow::Result<bool> {
        let events = self.search(SearchEventsRequest::default()).await?;
        let made = |show: &Show| events.iter().any(|e| e.title == show.title && e.status() != EventStatus::Draft);
        Ok(programme::all().iter().all(made))
    }

    async fn search(&self, wanted: SearchEventsRequest) -> anyhow::Result<Vec<Event>> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = SearchEventsRequest { page_size: PAGE_SIZE, page_token, ..wanted.clone() };
            let mut page = self.catalog.clone().search_events(self.caller().request(request)).await?.into_inner();
            found.append(&mut page.events);
            page_token = page.tokens.pop().unwrap_or_default();
            if !page.has_more {
                break;
            }
        }
        Ok(found)
    }

    fn is_on_sale(&self, event: &Event) -> bool {
        let ends = event.sale_ends_at.as_ref().or(event.starts_at.as_ref()).and_then(from_wire);
        let starts = event.sale_starts_at.as_ref().and_then(from_wire);
        starts.is_none_or(|at| at <= self.now) && ends.is_some_and(|at| at > self.now)
    }

    /// Every demo venue with its plan, found or made.
    async fn stages(&mut self, venues: &[Venue], demo: Vec<DemoVenue>) -> anyhow::Result<Vec<Stage>> {
        let mut stages = Vec::new();
        for wanted in demo {
            let there = venues.iter().find(|venue| venue.name == wanted.name);
            let (name, time_zone) = (wanted.name, wanted.time_zone);
            let found = match there {
                Some(venue) => self.plan_of(&venue.id, wanted.plan_name).await?,
                None => None,
            };
            let plan = match found {
                Some(plan) => plan,
                None => self.import(wanted).await.with_context(|| format!("venue {name:?}"))?,
            };
            stages.push(Stage { venue: name, time_zone, plan });
        }
        Ok(stages)
    }

    async fn plan_of(&mut self, venue_id: &str, name: &str) -> anyhow::Result<Option<SeatingPlanSummary>> {
        let request =
            ListSeatingPlansRequest { venue_id: venue_id.to_owned(), page_size: PAGE_SIZE, page_token: String::new() };
        let plans = self.catalog.list_seating_plans(self.caller().request(request)).await?.into_inner().plans;
        Ok(plans.into_iter().find(|plan| plan.name == name))
    }

    async fn import(&mut self, venue: DemoVenue) -> anyhow::Result<SeatingPlanSummary> {
        let (header, file) = venue.into_import()?;
        let chunks: Vec<Part> = file.chunks(CHUNK_BYTES).map(|chunk| Part::Chunk(chunk.to_vec().into())).collect();
        let parts = std::iter::once(Part::Header(header)).chain(chunks);
        let messages = tokio_stream::iter(parts.map(|part| ImportSeatingPlanRequest { part: Some(part) }));
        let stored = self.catalog.import_seating_plan(self.caller().request(messages)).await?.into_inner();
        stored.plan.context("catalog answered without a plan")
    }

    /// Publishing returns once the event can be booked. A draft that a killed start left is taken up again.
    async fn put_on_sale(&mut self, show: &Show, stages: &[Stage]) -> anyhow::Result<()> {
        let event = show.event(stages, self.now)?;
        let drafts =
            self.search(SearchEventsRequest { status: EventStatus::Draft.into(), ..Default::default() }).await?;
        let left = drafts.into_iter().find(|draft| draft.title == show.title && draft.starts_at == event.starts_at);
        let draft = match left {
            Some(draft) => draft,
            None => {
                let request = CreateEventRequest { event: Some(event), ..Default::default() };
                let created = self.catalog.create_event(self.caller().request(request)).await?.into_inner();
                created.event.context("catalog answered without an event")?
            }
        };
        let publish = PublishEventRequest { event_id: draft.id, ..Default::default() };
        self.catalog.publish_event(self.caller().request(publish)).await?;
        Ok(())
    }
}
