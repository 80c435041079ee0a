//! The gRPC face: translates, delegates, and decides nothing but who may call what.

mod import;

use std::sync::Arc;

use common::auth::Role::{self, Admin, Customer, Service};
use common::auth::{Principal, Verifier};
use common::db::Db;
use common::error::{self, ErrorKind, Refusal};
use common::fact_service::FactApi;
use common::grpc::{AccessTable, MESSAGE_BYTES_MAX, Server, principal};
use common::outbox::Outbox;
use common::proto::catalog::v1 as proto;
use common::requests::RequestKey;
use proto::catalog_service_server::{CatalogService, CatalogServiceServer};
use tonic::{Request, Response, Status, Streaming};

use super::queries::{PageAsked, ReadError, events, plans, venues};
use super::streams::{self, Answers};
use super::wire;
use crate::application::App;
use crate::application::change_event::{cancel_event, set_prices, update_event};
use crate::application::create_event::create_event;
use crate::application::create_venue::create_venue;
use crate::application::ports::{Answer as Stored, Asked};
use crate::application::publish_event::publish_event;
use crate::domain::fault::Fault;
use prost::Message;

/// Full protobuf name of the service.
pub const SERVICE: &str = "eventix.catalog.v1.CatalogService";

const EVERYBODY: &[Role] = &[Admin, Customer, Service];

/// Who may call what; [`events`] narrows down what they see.
const ACCESS: AccessTable = &[
    ("CreateVenue", &[Admin]),
    ("GetVenue", EVERYBODY),
    ("BatchGetVenues", EVERYBODY),
    ("ListVenues", &[Admin, Service]),
    ("ImportSeatingPlan", &[Admin]),
    ("ExportSeatingPlan", &[Admin]),
    ("ListSeatingPlans", &[Admin, Service]),
    ("StreamSeatingPlan", EVERYBODY),
    ("CreateEvent", &[Admin]),
    ("UpdateEvent", &[Admin]),
    ("SetPrices", &[Admin]),
    ("PublishEvent", &[Admin]),
    ("CancelEvent", &[Admin]),
    ("GetEvent", EVERYBODY),
    ("BatchGetEvents", EVERYBODY),
    ("SearchEvents", EVERYBODY),
    ("StreamOffer", &[Admin, Service]),
    ("ListFacts", &[Service]),
    ("ListHeads", &[Service]),
];

/// The service over its use cases and reads.
pub struct Api {
    app: App,
    db: Db,
    outbox: Outbox,
}

impl Api {
    /// Brings the parts together.
    pub fn new(app: App, db: Db, outbox: Outbox) -> Self {
        Self { app, db, outbox }
    }

    /// A server of this service alone.
    pub fn server(self, verifier: Arc<Verifier>) -> Server {
        let facts = FactApi::service(self.outbox.clone());
        let service = CatalogServiceServer::new(self).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Server::new("catalog", verifier, ACCESS).add(service).add(facts)
    }
}

/// Who asks, and under which request id; `request` must have its request id taken out.
fn asked<M: Message>(caller: &Principal, operation: &str, request_id: &str, request: &M) -> Result<Asked, Status> {
    let key = match request_id {
        "" => None,
        id => Some(RequestKey::new(&caller.subject, operation, id, &request.encode_to_vec()).map_err(refused)?),
    };
    Ok(Asked { actor: caller.subject.clone(), key })
}

/// Reads what the store answered, now or before.
fn stored<M: Message + Default>(answer: &Stored) -> Result<M, Status> {
    M::decode(answer.as_slice()).map_err(|error| {
        tracing::error!(%error, "a remembered answer cannot be read");
        error::status(ErrorKind::Internal, "INTERNAL", "internal error", None, Default::default())
    })
}

/// A refusal on its way out. Our own UNAVAILABLE texts say what a person can do, so they are shown.
pub fn refuse(refusal: &dyn Refusal) -> Status {
    match refusal.kind() {
        ErrorKind::Unavailable => {
            tracing::warn!(error = %error::chain(refusal), "unavailable");
            let (text, reason) = (refusal.to_string(), refusal.reason());
            error::status(ErrorKind::Unavailable, reason, text, refusal.field(), refusal.metadata())
        }
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::FailedPrecondition
        | ErrorKind::Conflict
        | ErrorKind::Unauthenticated
        | ErrorKind::PermissionDenied
        | ErrorKind::ResourceExhausted
        | ErrorKind::DeadlineExceeded
        | ErrorKind::Internal => error::to_status(refusal),
    }
}

fn refused(refusal: impl Refusal) -> Status {
    refuse(&refusal)
}

fn invalid(fault: Fault) -> Status {
    refuse(&ReadError::Invalid(fault))
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CatalogService for Api {
    type ExportSeatingPlanStream = Answers<proto::ExportSeatingPlanResponse>;
    type StreamSeatingPlanStream = Answers<proto::StreamSeatingPlanResponse>;
    type StreamOfferStream = Answers<proto::StreamOfferResponse>;

    async fn create_venue(&self, request: Request<proto::CreateVenueRequest>) -> Answer<proto::CreateVenueResponse> {
        let (caller, mut request) = (principal(&request)?, request.into_inner());
        let id = std::mem::take(&mut request.request_id);
        let asked = asked(&caller, "createVenue", &id, &request)?;
        let venue = request.venue.ok_or_else(|| invalid(Fault::new("venue", "is missing")))?;
        let answer = create_venue(&self.app, &asked, wire::new_venue(venue)).await.map_err(refused)?;
        Ok(Response::new(stored(&answer)?))
    }

    async fn get_venue(&self, request: Request<proto::GetVenueRequest>) -> Answer<proto::GetVenueResponse> {
        let venue = venues::get(&self.db, &request.get_ref().venue_id).await.map_err(refused)?;
        Ok(Response::new(proto::GetVenueResponse { venue: Some(wire::venue(venue)) }))
    }

    async fn batch_get_venues(
        &self,
        request: Request<proto::BatchGetVenuesRequest>,
    ) -> Answer<proto::BatchGetVenuesResponse> {
        let found = venues::get_batch(&self.db, &request.get_ref().venue_ids).await.map_err(refused)?;
        Ok(Response::new(proto::BatchGetVenuesResponse { venues: found.into_iter().map(wire::venue).collect() }))
    }

    async fn list_venues(&self, request: Request<proto::ListVenuesRequest>) -> Answer<proto::ListVenuesResponse> {
        let asked = request.into_inner();
        let asked = PageAsked::read(asked.page_size, &asked.page_token).map_err(invalid)?;
        let page = venues::list(&self.db, asked).await.map_err(refused)?;
        let venues = page.rows.into_iter().map(wire::venue).collect();
        Ok(Response::new(proto::ListVenuesResponse { venues, tokens: page.tokens, has_more: page.has_more }))
    }

    async fn import_seating_plan(
        &self,
        request: Request<Streaming<proto::ImportSeatingPlanRequest>>,
    ) -> Answer<proto::ImportSeatingPlanResponse> {
        Box::pin(import::import(self, request)).await
    }

    async fn export_seating_plan(
        &self,
        request: Request<proto::ExportSeatingPlanRequest>,
    ) -> Answer<Self::ExportSeatingPlanStream> {
        let file = streams::file(self.db.clone(), &request.get_ref().seating_plan_id).await;
        Ok(Response::new(file.map_err(refused)?))
    }

    async fn list_seating_plans(
        &self,
        request: Request<proto::ListSeatingPlansRequest>,
    ) -> Answer<proto::ListSeatingPlansResponse> {
        let request = request.into_inner();
        let asked = PageAsked::read(request.page_size, &request.page_token).map_err(invalid)?;
        let page = plans::list(&self.db, &request.venue_id, asked).await.map_err(refused)?;
        let (plans, tokens, has_more) = (page.rows, page.tokens, page.has_more);
        Ok(Response::new(proto::ListSeatingPlansResponse { plans, tokens, has_more }))
    }

    async fn stream_seating_plan(
        &self,
        request: Request<proto::StreamSeatingPlanRequest>,
    ) -> Answer<Self::StreamSeatingPlanStream> {
        let plan = streams::plan(self.db.clone(), &request.get_ref().seating_plan_id).await;
        Ok(Response::new(plan.map_err(refused)?))
    }

    async fn create_event(&self, request: Request<proto::CreateEventRequest>) -> Answer<proto::CreateEventResponse> {
        let (caller, mut request) = (principal(&request)?, request.into_inner());
        let id = std::mem::take(&mut request.request_id);
        let asked = asked(&caller, "createEvent", &id, &request)?;
        let event = request.event.ok_or_else(|| invalid(Fault::new("event", "is missing")))?;
        let new = wire::new_event(event).map_err(invalid)?;
        let answer = create_event(&self.app, &asked, new).await.map_err(refused)?;
        Ok(Response::new(proto::CreateEventResponse { event: Some(stored(&answer)?) }))
    }

    async fn update_event(&self, request: Request<proto::UpdateEventRequest>) -> Answer<proto::UpdateEventResponse> {
        let (caller, mut request) = (principal(&request)?, request.into_inner());
        let id = std::mem::take(&mut request.request_id);
        let asked = asked(&caller, "updateEvent", &id, &request)?;
        let (event, expected_version) = (request.event_id.clone(), request.expected_version);
        let edit = wire::edit(request).map_err(invalid)?;
        let answer = update_event(&self.app, &asked, &event, expected_version, edit).await.map_err(refused)?;
        Ok(Response::new(proto::UpdateEventResponse { event: Some(stored(&answer)?) }))
    }

    async fn set_prices(&self, request: Request<proto::SetPricesRequest>) -> Answer<proto::SetPricesResponse> {
        let (caller, mut request) = (principal(&request)?, request.into_inner());
        let id = std::mem::take(&mut request.request_id);
        let asked = asked(&caller, "setPrices", &id, &request)?;
        let prices = wire::prices_in(request.prices);
        let answer = set_prices(&self.app, &asked, &request.event_id, &prices).await.map_err(refused)?;
        Ok(Response::new(proto::SetPricesResponse { event: Some(stored(&answer)?) }))
    }

    async fn publish_event(&self, request: Request<proto::PublishEventRequest>) -> Answer<proto::PublishEventResponse> {
        let (caller, mut request) = (principal(&request)?, request.into_inner());
        let id = std::mem::take(&mut request.request_id);
        let asked = asked(&caller, "publishEvent", &id, &request)?;
        let answer = publish_event(&self.app, &asked, &request.event_id).await.map_err(refused)?;
        Ok(Response::new(proto::PublishEventResponse { event: Some(stored(&answer)?) }))
    }

    async fn cancel_event(&self, request: Request<proto::CancelEventRequest>) -> Answer<proto::CancelEventResponse> {
        let (caller, mut request) = (principal(&request)?, request.into_inner());
        let id = std::mem::take(&mut request.request_id);
        let asked = asked(&caller, "cancelEvent", &id, &request)?;
        let answer = cancel_event(&self.app, &asked, &request.event_id).await.map_err(refused)?;
        Ok(Response::new(proto::CancelEventResponse { event: Some(stored(&answer)?) }))
    }

    async fn get_event(&self, request: Request<proto::GetEventRequest>) -> Answer<proto::GetEventResponse> {
        let (caller, now) = (principal(&request)?, self.app.clock.now());
        let event = events::get(&self.db, &caller, &request.get_ref().event_id, now).await.map_err(refused)?;
        Ok(Response::new(proto::GetEventResponse { event: Some(event) }))
    }

    async fn batch_get_events(
        &self,
        request: Request<proto::BatchGetEventsRequest>,
    ) -> Answer<proto::BatchGetEventsResponse> {
        let (caller, now) = (principal(&request)?, self.app.clock.now());
        let ids = &request.get_ref().event_ids;
        let events = events::get_batch(&self.db, &caller, ids, now).await.map_err(refused)?;
        Ok(Response::new(proto::BatchGetEventsResponse { events }))
    }

    async fn search_events(&self, request: Request<proto::SearchEventsRequest>) -> Answer<proto::SearchEventsResponse> {
        let (caller, now) = (principal(&request)?, self.app.clock.now());
        let page = events::search(&self.db, &caller, request.get_ref(), now).await.map_err(refused)?;
        let (events, tokens, has_more) = (page.rows, page.tokens, page.has_more);
        Ok(Response::new(proto::SearchEventsResponse { events, tokens, has_more }))
    }

    async fn stream_offer(&self, request: Request<proto::StreamOfferRequest>) -> Answer<Self::StreamOfferStream> {
        let request = request.into_inner();
        let offer = streams::offer(self.db.clone(), &request.event_id, request.version).await;
        Ok(Response::new(offer.map_err(refused)?))
    }
}
