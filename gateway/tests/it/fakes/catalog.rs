//! Catalog, scripted.

use common::proto::catalog::v1 as pb;
use common::proto::catalog::v1::catalog_service_server::CatalogService;
use pb::import_seating_plan_request::Part;
use tokio_stream::{Iter, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use super::{fake, page, unused};

type Answers<T> = Iter<std::vec::IntoIter<Result<T, Status>>>;

fake! { CatalogService in pb {
    create_venue(CreateVenueRequest) -> CreateVenueResponse: |_, request| {
        let venue = request.venue.map(|venue| pb::Venue { id: "venue-new".into(), ..venue });
        Ok(pb::CreateVenueResponse { venue })
    };
    get_venue(GetVenueRequest) -> GetVenueResponse: |_, _| unused();
    batch_get_venues(BatchGetVenuesRequest) -> BatchGetVenuesResponse: |script, request| {
        let venues = script.venues.lock().unwrap();
        let wanted = venues.iter().filter(|venue| request.venue_ids.contains(&venue.id));
        Ok(pb::BatchGetVenuesResponse { venues: wanted.cloned().collect() })
    };
    list_venues(ListVenuesRequest) -> ListVenuesResponse: |script, request| {
        let (venues, tokens, has_more) =
            page(&script.venues.lock().unwrap(), request.page_size, &request.page_token)?;
        Ok(pb::ListVenuesResponse { venues, tokens, has_more })
    };
    list_seating_plans(ListSeatingPlansRequest) -> ListSeatingPlansResponse: |_, _| Ok(Default::default());
    create_event(CreateEventRequest) -> CreateEventResponse: |_, request| {
        let new = request.event.unwrap_or_default();
        let event = pb::Event { id: "event-new".into(), title: new.title, status: 1, prices: new.prices, ..Default::default() };
        Ok(pb::CreateEventResponse { event: Some(event) })
    };
    update_event(UpdateEventRequest) -> UpdateEventResponse: |_, _| unused();
    set_prices(SetPricesRequest) -> SetPricesResponse: |_, _| unused();
    publish_event(PublishEventRequest) -> PublishEventResponse: |script, request| {
        let event = script.events.lock().unwrap().iter().find(|event| event.id == request.event_id).cloned();
        Ok(pb::PublishEventResponse { event })
    };
    cancel_event(CancelEventRequest) -> CancelEventResponse: |_, _| unused();
    get_event(GetEventRequest) -> GetEventResponse: |_, _| unused();
    batch_get_events(BatchGetEventsRequest) -> BatchGetEventsResponse: |script, request| {
        let events = script.events.lock().unwrap();
        let wanted = events.iter().filter(|event| request.event_ids.contains(&event.id));
        Ok(pb::BatchGetEventsResponse { events: wanted.cloned().collect() })
    };
    search_events(SearchEventsRequest) -> SearchEventsResponse: |script, request| {
        let events = script.events.lock().unwrap();
        let wanted: Vec<pb::Event> = events.iter().filter(|event| event.status == request.status).cloned().collect();
        let (events, tokens, has_more) = page(&wanted, request.page_size, &request.page_token)?;
        Ok(pb::SearchEventsResponse { events, tokens, has_more })
    };
}
    async fn import_seating_plan(
        &self,
        request: Request<Streaming<pb::ImportSeatingPlanRequest>>,
    ) -> Result<Response<pb::ImportSeatingPlanResponse>, Status> {
        self.0.enter("import_seating_plan", &request)?;
        let mut parts = request.into_inner();
        while let Some(part) = parts.next().await {
            match part?.part {
                Some(Part::Header(header)) => *self.0.import_header.lock().unwrap() = Some(header),
                Some(Part::Chunk(chunk)) => self.0.imported.lock().unwrap().extend_from_slice(&chunk),
                None => return Err(Status::invalid_argument("empty part")),
            }
        }
        let plan = pb::SeatingPlanSummary { id: "plan-new".into(), seat_count: 7, ..Default::default() };
        Ok(Response::new(pb::ImportSeatingPlanResponse { plan: Some(plan), venue: None, event: None }))
    }

    type StreamSeatingPlanStream = Answers<pb::StreamSeatingPlanResponse>;

    async fn stream_seating_plan(
        &self,
        request: Request<pb::StreamSeatingPlanRequest>,
    ) -> Result<Response<Self::StreamSeatingPlanStream>, Status> {
        self.0.enter("stream_seating_plan", &request)?;
        let plan: Vec<_> = self.0.plan.lock().unwrap().iter().cloned().map(Ok).collect();
        Ok(Response::new(tokio_stream::iter(plan)))
    }

    type ExportSeatingPlanStream = Answers<pb::ExportSeatingPlanResponse>;

    async fn export_seating_plan(
        &self,
        _: Request<pb::ExportSeatingPlanRequest>,
    ) -> Result<Response<Self::ExportSeatingPlanStream>, Status> {
        unused()
    }

    type StreamOfferStream = Answers<pb::StreamOfferResponse>;

    async fn stream_offer(
        &self,
        _: Request<pb::StreamOfferRequest>,
    ) -> Result<Response<Self::StreamOfferStream>, Status> {
        unused()
    }
}
