//! Receives a streamed import: one header, then the file in pieces.

use common::grpc::principal;
use common::proto::catalog::v1 as proto;
use proto::import_seating_plan_request::Part;
use tonic::{Request, Response, Status, Streaming};

use super::super::queries::{plans, venues};
use super::super::wire;
use super::{Answer, Api, invalid, refused};
use crate::application::import_plan::{NewImport, import_plan};
use crate::domain::fault::Fault;
use crate::domain::plan_file::FILE_BYTES_MAX;

/// Bytes of one piece.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Imports a plan and what comes with it.
pub async fn import(
    api: &Api,
    request: Request<Streaming<proto::ImportSeatingPlanRequest>>,
) -> Answer<proto::ImportSeatingPlanResponse> {
    let caller = principal(&request)?;
    // Waited for before the file is received: what waits keeps nothing in memory.
    let _turn = api.app.imports.acquire().await.map_err(|_| Status::unavailable("shutting down"))?;
    let new = receive(request.into_inner()).await?;
    let imported = import_plan(&api.app, &caller.subject, new).await.map_err(refused)?;

    let (_, plan) = plans::get(&api.db, &imported.plan_id.to_string()).await.map_err(refused)?;
    let venue = venues::get(&api.db, &plan.venue_id).await.map_err(refused)?;
    let event = match imported.event_id {
        Some(id) => Some(api.written(&caller, id).await?),
        None => None,
    };
    let (plan, venue) = (Some(plan), Some(wire::venue(venue)));
    Ok(Response::new(proto::ImportSeatingPlanResponse { plan, venue, event }))
}

async fn receive(mut messages: Streaming<proto::ImportSeatingPlanRequest>) -> Result<NewImport, Status> {
    let first = messages.message().await?.and_then(|message| message.part);
    let Some(Part::Header(header)) = first else {
        return Err(invalid(Fault::new("header", "must come first")));
    };
    let mut file = Vec::new();
    while let Some(message) = messages.message().await? {
        let Some(Part::Chunk(chunk)) = message.part else {
            return Err(invalid(Fault::new("chunk", "must be all that follows the header")));
        };
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(invalid(Fault::new("chunk", format!("must be at most {CHUNK_BYTES_MAX} bytes"))));
        }
        if file.len() + chunk.len() > FILE_BYTES_MAX {
            return Err(invalid(Fault::new("plan", format!("is larger than {FILE_BYTES_MAX} bytes"))));
        }
        file.extend_from_slice(&chunk);
    }
    let event = header.event.map(wire::new_event).transpose().map_err(|fault| invalid(fault.inside("event")))?;
    Ok(NewImport {
        venue_id: header.venue_id,
        venue: header.venue.map(wire::new_venue),
        additions: wire::additions(header.name, header.accessible_categories, header.areas),
        event,
        file,
    })
}
