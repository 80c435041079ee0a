//! Receives a streamed import: one header, then the file in pieces.

use common::auth::Principal;
use common::grpc::principal;
use common::ids::EventId;
use common::proto::catalog::v1 as proto;
use prost::Message;
use proto::import_seating_plan_request::Part;
use tonic::{Request, Response, Status, Streaming};

use super::super::wire;
use super::{Answer, Api, asked, invalid, refused, stored};
use crate::application::import_plan::{NewImport, import_plan};
use crate::application::ports::Asked;
use crate::application::publish_event::await_first_offer;
use crate::domain::fault::Fault;
use crate::domain::plan_file::FILE_BYTES_MAX;

/// Bytes of one piece.
const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// Imports a plan and what comes with it; with an event, answers once that can be booked.
pub async fn import(
    api: &Api,
    request: Request<Streaming<proto::ImportSeatingPlanRequest>>,
) -> Answer<proto::ImportSeatingPlanResponse> {
    let caller = principal(&request)?;
    // Waited for before the file is received: what waits keeps nothing in memory.
    let _turn = api.app.imports.acquire().await.map_err(|_| Status::unavailable("shutting down"))?;
    let (asked, new) = receive(&caller, request.into_inner()).await?;
    let answer = import_plan(&api.app, &asked, new).await.map_err(refused)?;

    let imported: proto::ImportSeatingPlanResponse = stored(&answer)?;
    if let Some(event) = imported.event.as_ref().and_then(|event| EventId::parse(&event.id)) {
        await_first_offer(&api.app, event).await.map_err(refused)?;
    }
    Ok(Response::new(imported))
}

async fn receive(
    caller: &Principal,
    mut messages: Streaming<proto::ImportSeatingPlanRequest>,
) -> Result<(Asked, NewImport), Status> {
    let first = messages.message().await?.and_then(|message| message.part);
    let Some(Part::Header(mut header)) = first else {
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
    let id = std::mem::take(&mut header.request_id);
    let request = if id.is_empty() { Vec::new() } else { whole(&header, &file) };
    let asked = asked(caller, "importSeatingPlan", &id, &request)?;
    let event = header.event.map(wire::new_event).transpose().map_err(|fault| invalid(fault.inside("event")))?;
    let new = NewImport {
        venue_id: header.venue_id,
        venue: header.venue.map(wire::new_venue),
        additions: wire::additions(header.name, header.accessible_categories, header.areas),
        event,
        file,
    };
    Ok((asked, new))
}

/// Stands for header and file where requests are compared: the file by its SHA-256, since it may be large.
fn whole(header: &proto::ImportSeatingPlanHeader, file: &[u8]) -> Vec<u8> {
    let mut whole = header.encode_to_vec();
    whole.extend_from_slice(ring::digest::digest(&ring::digest::SHA256, file).as_ref());
    whole
}
