//! GraphQL over HTTP: method, caller, media types, body, document, limits, execution, in that order.
//! Rate limits apply as soon as it is known whose they are: an address's before anything is read, a subject's by what it asks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_graphql::parser::types::{DocumentOperations, ExecutableDocument, OperationDefinition};
use async_graphql::parser::types::{OperationType, Selection};
use async_graphql::{Request as Execution, Value};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use bytes::Bytes;
use common::failpoint::{self, Step};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout, timeout_at};

use super::App;
use super::negotiate::{self, Media};
use super::params::Params;
use super::reply::{self, Rejection};
use crate::error::{Code, Fault};
use crate::graphql::loaders::Loaders;
use crate::limits;
use crate::rate_limit::{self, Asked};
use crate::viewer::{Authenticated, Viewer, authenticate};

/// The one mutation whose body may be large.
const LARGE_OPERATION: &str = "importSeatingPlan";

/// Answers `/graphql`.
pub async fn answer(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // What cannot be answered as the client wishes is answered in plain JSON.
    let media = negotiate::accepted(&parts.headers);
    match Box::pin(handle(&app, &parts, body, media)).await {
        Ok(response) => response,
        Err(rejection) => rejection.into_response(media.unwrap_or(Media::Json)),
    }
}

async fn handle(app: &Arc<App>, parts: &Parts, body: Body, media: Option<Media>) -> Result<Response, Rejection> {
    if !matches!(parts.method, Method::GET | Method::POST) {
        return Err(Rejection::method("use POST, or GET for queries", "GET, POST"));
    }
    let caller = authenticate(&app.identity, &parts.headers).await;
    if !matches!(caller, Ok(Some(_))) {
        app.limiter.admit(Asked::From(address(app, parts))).await?;
    }
    let caller = caller?;
    let media = media.ok_or_else(|| {
        let text = "answers are application/graphql-response+json or application/json";
        Rejection::http(StatusCode::NOT_ACCEPTABLE, text)
    })?;
    let (params, large) = params(app, parts, body, caller.as_ref()).await?;
    let prepared = Prepared::new(app, params, &parts.method, large);
    if let Some(caller) = &caller {
        let mutates = prepared.as_ref().is_ok_and(|prepared| prepared.mutates);
        let asked = if mutates { Asked::Mutation } else { Asked::Read };
        app.limiter.admit(asked(caller.subject())).await?;
    }
    let prepared = prepared?;
    let allowed = if large { app.config.import_timeout } else { app.config.request_timeout };
    prepared.execute(app, caller, Instant::now() + allowed, media).await
}

/// The client's address; unknown only where no connection is, which all share.
fn address(app: &App, parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    rate_limit::address::of_client(peer, &parts.headers, app.config.rate_limit.trusted_proxies)
}

/// The request's parameters, and whether its body is over the ordinary limit.
async fn params(
    app: &App,
    parts: &Parts,
    body: Body,
    caller: Option<&Authenticated>,
) -> Result<(Params, bool), Rejection> {
    if parts.method == Method::GET {
        return Ok((Params::from_uri(&parts.uri)?, false));
    }
    if !negotiate::is_json(&parts.headers) {
        let text = "the body must be application/json in UTF-8";
        return Err(Rejection::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let limits = &app.config.limits;
    let is_admin = caller.is_some_and(Authenticated::is_admin);
    let limit = if is_admin { limits.import_body_bytes } else { limits.body_bytes };
    let body = timeout(app.config.request_timeout, read(&parts.headers, body, limit))
        .await
        .map_err(|_| Rejection::http(StatusCode::REQUEST_TIMEOUT, "the body took too long"))??;
    Ok((Params::from_body(&body)?, body.len() > limits.body_bytes))
}

async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Rejection> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large(limit)),
        Err(_) => Err(Rejection::http(StatusCode::BAD_REQUEST, "the body was cut short")),
    }
}

fn too_large(limit: usize) -> Rejection {
    Rejection::http(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is over the limit of {limit} bytes"))
}

/// A document that may be executed.
struct Prepared {
    params: Params,
    document: ExecutableDocument,
    mutates: bool,
    /// Root fields as they are written, fragments aside.
    root: Vec<String>,
}

impl Prepared {
    fn new(app: &App, params: Params, method: &Method, large: bool) -> Result<Self, Rejection> {
        let limits = &app.config.limits;
        limits::tokens::check(&params.query, limits).map_err(|error| Rejection::document(error.to_string()))?;
        let document =
            async_graphql::parser::parse_query(&params.query).map_err(|error| Rejection::errors(vec![error.into()]))?;
        let operation = operation(&document.operations, params.operation_name.as_deref())?;
        if *method == Method::GET && operation.ty != OperationType::Query {
            return Err(Rejection::method("only queries may be sent by GET", "POST"));
        }
        limits::document::check(&document, &params.variables, limits, app.is_open())
            .map_err(|error| Rejection::document(error.to_string()))?;
        let (root, mutates) = (root_fields(operation), operation.ty == OperationType::Mutation);
        if large && root != [LARGE_OPERATION] {
            return Err(too_large(limits.body_bytes));
        }
        Ok(Self { params, document, mutates, root })
    }

    async fn execute(
        self,
        app: &Arc<App>,
        caller: Option<Authenticated>,
        deadline: Instant,
        media: Media,
    ) -> Result<Response, Rejection> {
        let viewer = Viewer::new(&app.identity, caller, deadline).await?;
        let loaders = Loaders::new(&app.api, &viewer);
        let mut execution = Execution::new(self.params.query)
            .variables(self.params.variables)
            .data(app.api.clone())
            .data(viewer)
            .data(loaders);
        execution.operation_name = self.params.operation_name;
        execution.set_parsed_query(self.document);

        let executing = timeout_at(deadline, app.schema.execute(execution));
        let executed = failpoint::around(Step::Execute, self.root.iter().map(String::as_str), executing).await;
        let mut response = executed.map_err(|_| Fault::new(Code::Unavailable, "this took too long, try again"))?;

        if response.data == Value::Null
            && !response.errors.is_empty()
            && response.errors.iter().all(|e| e.path.is_empty())
        {
            return Err(Rejection::errors(response.errors));
        }
        let operation = match self.root.as_slice() {
            [one] => one.as_str(),
            _ => "several",
        };
        order(&mut response.errors);
        Ok(reply::executed(media, operation, &response.data, &response.errors))
    }
}

/// Errors in the order of the answer, not of their happening.
fn order(errors: &mut [async_graphql::ServerError]) {
    errors.sort_by_key(|error| error.locations.first().map(|pos| (pos.line, pos.column)));
}

/// The operation that is to be executed.
fn operation<'a>(operations: &'a DocumentOperations, name: Option<&str>) -> Result<&'a OperationDefinition, Rejection> {
    let found = match (operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(named), Some(name)) => named.get(name),
        (DocumentOperations::Multiple(named), None) if named.len() == 1 => named.values().next(),
        (DocumentOperations::Multiple(_), None) => {
            return Err(Rejection::document("operationName is required: the document has several operations"));
        }
    };
    let missing = || Rejection::document(format!("the document has no operation {:?}", name.unwrap_or_default()));
    found.map(|operation| &operation.node).ok_or_else(missing)
}

fn root_fields(operation: &OperationDefinition) -> Vec<String> {
    let items = operation.selection_set.node.items.iter();
    items
        .map(|selection| match &selection.node {
            Selection::Field(field) => field.node.name.node.to_string(),
            Selection::FragmentSpread(_) | Selection::InlineFragment(_) => "fragment".to_owned(),
        })
        .collect()
}
