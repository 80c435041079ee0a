//! Venues and seating plans.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use bytes::Bytes;
use common::proto::catalog::v1 as pb;
use pb::import_seating_plan_request::Part;

use super::Api;
use super::loaders::Loaders;
use super::page::{Connection, PageRequest};
use super::payload::{answer, optional_request_id, payload, present, unsigned};
use super::scalars::Json;
use crate::clients::{call, call_keyed, call_retried};
use crate::error::{Failure, Fault, nullable, optional};
use crate::viewer::Viewer;

/// Bytes of a plan in one message to catalog.
const CHUNK_BYTES: usize = 256 * 1024;

/// Where events take place.
#[derive(Clone)]
pub struct Venue(pub pb::Venue);

/// Where events take place.
#[Object]
impl Venue {
    /// Opaque.
    pub async fn id(&self) -> ID {
        ID::from(&self.0.id)
    }

    /// Unique name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Street address; may be empty.
    async fn address(&self) -> &str {
        &self.0.address
    }

    /// City; may be empty.
    async fn city(&self) -> &str {
        &self.0.city
    }

    /// ISO 3166-1 alpha-2 code; may be empty.
    async fn country(&self) -> &str {
        &self.0.country
    }

    /// IANA time zone name.
    async fn time_zone(&self) -> &str {
        &self.0.time_zone
    }

    /// Degrees north, -90 to 90.
    async fn lat(&self) -> Option<f64> {
        self.0.latitude
    }

    /// Degrees east, -180 to 180.
    async fn lon(&self) -> Option<f64> {
        self.0.longitude
    }
}

/// A seating plan: immutable, versioned. Its seats are shown by the seat map of an event.
#[derive(SimpleObject)]
pub struct SeatingPlan {
    /// Opaque.
    pub id: ID,
    /// The venue it belongs to.
    pub venue_id: ID,
    /// Display name.
    pub name: String,
    /// Version among the venue's plans of this name, from 1.
    pub version: i32,
    /// Number of seats, areas aside.
    pub seat_count: i32,
    /// Names of the categories, in the plan's order.
    pub categories: Vec<String>,
    /// General-admission areas.
    pub areas: Vec<SeatingPlanArea>,
}

/// A general-admission area of a plan.
#[derive(SimpleObject)]
pub struct SeatingPlanArea {
    /// Opaque.
    pub id: ID,
    /// Unique within the plan.
    pub name: String,
    /// Places.
    pub capacity: i32,
}

impl From<pb::SeatingPlanSummary> for SeatingPlan {
    fn from(plan: pb::SeatingPlanSummary) -> Self {
        let area = |area: pb::Area| SeatingPlanArea {
            id: ID::from(area.id),
            name: area.name,
            capacity: area.capacity.cast_signed(),
        };
        Self {
            id: ID::from(plan.id),
            venue_id: ID::from(plan.venue_id),
            name: plan.name,
            version: plan.version.cast_signed(),
            seat_count: plan.seat_count.cast_signed(),
            categories: plan.categories,
            areas: plan.areas.into_iter().map(area).collect(),
        }
    }
}

/// Reads of venues and plans.
#[derive(Default)]
pub struct VenueQuery;

#[Object]
impl VenueQuery {
    /// One venue; null when there is none.
    async fn venue(&self, ctx: &Context<'_>, #[graphql(desc = "Id of the venue.")] id: ID) -> Option<Venue> {
        nullable(ctx, find(ctx, &id).await).flatten()
    }

    /// All venues by name. Admin.
    async fn venues(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<Venue>> {
        nullable(ctx, list(ctx, first, after).await)
    }

    /// Seating plans of a venue, newest first, without seats. Admin. Null when there is no such venue.
    async fn seating_plans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Id of the venue.")] venue_id: ID,
        #[graphql(desc = "Rows, 1 to 100; 20 when absent.")] first: Option<i32>,
        #[graphql(desc = "Cursor to continue behind.")] after: Option<String>,
    ) -> Option<Connection<SeatingPlan>> {
        nullable(ctx, list_plans(ctx, venue_id, first, after).await).flatten()
    }
}

/// A venue, or nothing.
///
/// # Errors
/// As catalog answers.
pub async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Venue>, Fault> {
    let found = Loaders::of(ctx).venues.load_one(id.0.clone()).await?;
    Ok(found.map(|venue| Venue(pb::Venue::clone(&venue))))
}

async fn list(ctx: &Context<'_>, first: Option<i32>, after: Option<String>) -> Result<Connection<Venue>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let page = PageRequest::new(ctx, "venues", first, after)?;
    let message = pb::ListVenuesRequest { page_size: page.size, page_token: page.token.clone() };
    let answer = call_retried!(Api::of(ctx).clients.catalog, list_venues, caller, message)?;
    let venues = answer.venues.into_iter().map(Venue).collect();
    page.connection(ctx, venues, &answer.tokens, answer.has_more)
}

async fn list_plans(
    ctx: &Context<'_>,
    venue_id: ID,
    first: Option<i32>,
    after: Option<String>,
) -> Result<Option<Connection<SeatingPlan>>, Fault> {
    let caller = Viewer::of(ctx).admin()?;
    let page = PageRequest::new(ctx, "seatingPlans", first, after)?;
    let message =
        pb::ListSeatingPlansRequest { venue_id: venue_id.0, page_size: page.size, page_token: page.token.clone() };
    let answer = optional(call_retried!(Api::of(ctx).clients.catalog, list_seating_plans, caller, message))?;
    let Some(answer) = answer else { return Ok(None) };
    let plans = answer.plans.into_iter().map(SeatingPlan::from).collect();
    page.connection(ctx, plans, &answer.tokens, answer.has_more).map(Some)
}

/// A venue to store.
#[derive(InputObject)]
pub struct CreateVenueInput {
    /// Unique name, 1 to 200 characters.
    name: String,
    /// Street address.
    address: Option<String>,
    /// City.
    city: Option<String>,
    /// ISO 3166-1 alpha-2 code.
    country: Option<String>,
    /// IANA time zone name.
    time_zone: String,
    /// Degrees north, -90 to 90.
    lat: Option<f64>,
    /// Degrees east, -180 to 180.
    lon: Option<f64>,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

/// A seating plan to import, all or nothing.
#[derive(InputObject)]
pub struct ImportSeatingPlanInput {
    /// The venue it belongs to.
    venue_id: ID,
    /// Name of the plan; absent takes the file's.
    name: Option<String>,
    /// The plan in the open seating-plan JSON that pretix and its editors use; best given as a variable.
    plan: Json,
    /// Categories whose seats are accessible; each must exist in the plan.
    accessible_categories: Option<Vec<String>>,
    /// General-admission areas to add.
    areas: Option<Vec<NewAreaInput>>,
    /// As in `HoldSeatsInput`: a call whose answer was lost gets it again. Absent: every call is one of its own.
    idempotency_key: Option<String>,
}

/// A general-admission area to add.
#[derive(InputObject)]
pub struct NewAreaInput {
    /// Unique within the plan, 1 to 200 characters.
    name: String,
    /// Places, 1 to 1,000,000.
    capacity: i32,
}

payload! {
    /// Answer of `createVenue`.
    CreateVenuePayload {
        /// The stored venue; null when refused.
        venue: Venue
    }
}

payload! {
    /// Answer of `importSeatingPlan`.
    ImportSeatingPlanPayload {
        /// The stored plan; null when refused.
        seating_plan: SeatingPlan
    }
}

/// Changes of venues and plans.
#[derive(Default)]
pub struct VenueMutation;

#[Object]
impl VenueMutation {
    /// Stores a venue. Admin.
    async fn create_venue(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The venue.")] input: CreateVenueInput,
    ) -> Option<CreateVenuePayload> {
        answer(ctx, create(ctx, input).await)
    }

    /// Imports a seating plan; nothing is stored when anything in it is refused. Admin. Its request may be larger than others.
    async fn import_seating_plan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The plan.")] input: ImportSeatingPlanInput,
    ) -> Option<ImportSeatingPlanPayload> {
        answer(ctx, import(ctx, input).await)
    }
}

async fn create(ctx: &Context<'_>, input: CreateVenueInput) -> Result<Venue, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let venue = pb::Venue {
        id: String::new(),
        name: input.name,
        address: input.address.unwrap_or_default(),
        city: input.city.unwrap_or_default(),
        country: input.country.unwrap_or_default(),
        time_zone: input.time_zone,
        latitude: input.lat,
        longitude: input.lon,
    };
    let request_id = optional_request_id(input.idempotency_key)?;
    let message = pb::CreateVenueRequest { venue: Some(venue), request_id };
    let answer = call_keyed!(Api::of(ctx).clients.catalog, create_venue, caller, message)?;
    Ok(Venue(present(answer.venue)?))
}

async fn import(ctx: &Context<'_>, input: ImportSeatingPlanInput) -> Result<SeatingPlan, Failure> {
    let caller = Viewer::of(ctx).admin()?;
    let mut areas = Vec::new();
    for (at, area) in input.areas.unwrap_or_default().into_iter().enumerate() {
        let capacity = unsigned(area.capacity, &["areas", &at.to_string(), "capacity"])?;
        areas.push(pb::NewArea { name: area.name, capacity });
    }
    let header = pb::ImportSeatingPlanHeader {
        venue_id: input.venue_id.0,
        venue: None,
        name: input.name.unwrap_or_default(),
        accessible_categories: input.accessible_categories.unwrap_or_default(),
        areas,
        event: None,
        request_id: optional_request_id(input.idempotency_key)?,
    };
    let file = serde_json::to_vec(&input.plan.0).map_err(Fault::internal)?;
    let keyed = !header.request_id.is_empty();
    let messages = futures_util::stream::iter(messages(header, file.into()));
    let answer = if keyed {
        call_retried!(Api::of(ctx).clients.catalog, import_seating_plan, caller, messages)?
    } else {
        call!(Api::of(ctx).clients.catalog, import_seating_plan, caller, messages)?
    };
    Ok(present(answer.plan)?.into())
}

/// The header, then the file in pieces, none of them copied.
fn messages(
    header: pb::ImportSeatingPlanHeader,
    mut file: Bytes,
) -> impl Iterator<Item = pb::ImportSeatingPlanRequest> + Clone + Send + 'static {
    let chunks =
        std::iter::from_fn(move || (!file.is_empty()).then(|| Part::Chunk(file.split_to(CHUNK_BYTES.min(file.len())))));
    std::iter::once(Part::Header(header)).chain(chunks).map(|part| pb::ImportSeatingPlanRequest { part: Some(part) })
}
