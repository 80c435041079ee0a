//! A booking is one trace: spans are received by an OTLP server in this process, and parents and links checked over outbox,
//! broker and inbox, also when the relay runs in another process than the one that wrote the fact.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::auth::Role;
use common::clock::{SystemClock, to_wire};
use common::dev_issuer::DevIssuer;
use common::grpc::{Caller, MeshChannel};
use common::proto::booking::v1::HoldSeatsRequest;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use common::proto::catalog::v1::import_seating_plan_request::Part;
use common::proto::catalog::v1::price::Target;
use common::proto::catalog::v1::{ImportSeatingPlanHeader, ImportSeatingPlanRequest, NewEvent, Price, Venue};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::client::{SAGA, Shop};
use crate::harness::{EVENTIX, Product, eventually};

/// Everything exported so far.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans;
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        self.0.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Received {
    async fn listen() -> (Self, String) {
        let received = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(received.clone()));
        let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
        tokio::task::spawn(async move { serving.await.unwrap() });
        (received, address)
    }

    /// The spans of one trace.
    fn of_trace(&self, trace_id: &[u8]) -> Vec<Span> {
        self.0.lock().unwrap().iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn has_fact(span: &Span, kind: &str) -> bool {
    let value = |v: &opentelemetry_proto::tonic::common::v1::AnyValue| format!("{v:?}").contains(kind);
    span.attributes.iter().any(|a| a.key == "fact.kind" && a.value.as_ref().is_some_and(value))
}

/// The publish and the process span of a fact, once both are there.
fn hop(spans: &[Span], topic: &str, kind: &str) -> Option<(Span, Span)> {
    let of = |name: &str| named(spans, name).into_iter().find(|span| has_fact(span, kind)).cloned();
    Some((of(&format!("{topic} publish"))?, of(&format!("{topic} process"))?))
}

fn exporting(address: &str) -> [(&'static str, String); 2] {
    [("OTEL_EXPORTER_OTLP_ENDPOINT", address.to_owned()), ("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_booking_is_one_trace() {
    let (received, address) = Received::listen().await;
    let env = exporting(&address);
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let product = Product::start_with(&[], &env);
    let shop = Shop::of(&product);
    let event = shop.seated_event().await;
    let seats = shop.free_seats(&event).await[..1].to_vec();
    let id = shop.hold("alice", &event, &seats, "hold").await.unwrap().id();

    shop.pay("alice", &id, "tok_approve", "pay").await.unwrap().id();
    shop.until("alice", &id, "CONFIRMED").await;

    let spans = eventually("the trace of the payment", SAGA, async || {
        let all = received.0.lock().unwrap().clone();
        let pay = named(&all, "booking.PayBooking").first()?.trace_id.clone();
        let spans = received.of_trace(&pay);
        hop(&spans, "eventix.payment.v1", "PaymentCaptured").map(|_| spans)
    })
    .await;
    let server = named(&spans, "booking.PayBooking").into_iter().find(|span| span.kind == 2).expect("a server span");
    let client = spans.iter().find(|span| span.span_id == server.parent_span_id).expect("its parent");
    assert_eq!((client.name.as_str(), client.kind), ("booking.PayBooking", 3), "the gateway's client span");
    assert!(spans.iter().any(|span| span.span_id == client.parent_span_id), "the HTTP span above it");
    for (topic, kind) in [
        ("eventix.booking.v1", "PaymentRequested"),
        ("eventix.payment.v1", "PaymentAuthorised"),
        ("eventix.booking.v1", "BookingConfirmed"),
        ("eventix.payment.v1", "PaymentCaptured"),
    ] {
        let (publish, process) = hop(&spans, topic, kind).unwrap_or_else(|| panic!("{kind} is not in the trace"));
        assert!(spans.iter().any(|span| span.span_id == publish.parent_span_id), "{kind}: parent of publish");
        assert_eq!(process.parent_span_id, publish.span_id, "{kind}: process is a child of publish");
        assert!(process.links.iter().any(|link| link.span_id == publish.span_id), "{kind}: process links to publish");
    }
}

/// Services as processes of their own on one folder; killed when dropped.
struct Processes(Vec<(&'static str, Child)>);

impl Processes {
    fn start(&mut self, service: &'static str, data: &Path, base: u16, env: &[(&'static str, String)]) {
        let child = Command::new(EVENTIX)
            .args([service, "--data", data.to_str().unwrap(), "--grpc-base-port", &base.to_string()])
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.0.push((service, child));
    }

    fn kill(&mut self, service: &str) {
        let at = self.0.iter().position(|(name, _)| *name == service).expect("it runs");
        let (_, mut child) = self.0.remove(at);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Four free ports in a row.
fn free_ports() -> u16 {
    (0..200)
        .map(|_| StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port())
        .filter(|base| *base < 65_000)
        .find(|base| (0..4).all(|n| StdListener::bind(("127.0.0.1", base + n)).is_ok()))
        .expect("four free ports in a row")
}

fn small_plan() -> Vec<u8> {
    let seat = |n: u32| {
        json!({"seat_guid": format!("s{n}"), "seat_number": n.to_string(),
        "position": {"x": n * 20, "y": 0}, "category": "Stalls"})
    };
    let row = json!({"row_number": "A", "position": {"x": 0, "y": 0}, "seats": [seat(1), seat(2)]});
    let zone = json!({"name": "Stalls", "position": {"x": 0, "y": 0}, "rows": [row]});
    let plan = json!({"name": "Small", "categories": [{"name": "Stalls"}], "zones": [zone],
        "size": {"width": 100, "height": 100}});
    plan.to_string().into_bytes()
}

fn tomorrow(hours: i64) -> prost_types::Timestamp {
    to_wire(chrono::Utc::now() + chrono::Duration::hours(24 + hours))
}

/// Imports two seats and publishes an event on them.
async fn publish(base: u16, caller: &Caller) -> String {
    let channel = MeshChannel::new("catalog", [format!("http://127.0.0.1:{base}")]).unwrap();
    let header = ImportSeatingPlanHeader {
        venue: Some(Venue { name: "Small house".into(), time_zone: "Europe/Berlin".into(), ..Venue::default() }),
        event: Some(NewEvent {
            title: "Small night".into(),
            starts_at: Some(tomorrow(0)),
            ends_at: Some(tomorrow(2)),
            currency: "EUR".into(),
            prices: vec![Price { target: Some(Target::Category("Stalls".into())), amount_minor: 1000 }],
            ..NewEvent::default()
        }),
        ..ImportSeatingPlanHeader::default()
    };
    eventually("an event on sale", SAGA, async || {
        let parts = [Part::Header(header.clone()), Part::Chunk(small_plan().into())];
        let parts = parts.map(|part| ImportSeatingPlanRequest { part: Some(part) });
        let mut client = CatalogServiceClient::new(channel.clone());
        let answer = client.import_seating_plan(caller.request(tokio_stream::iter(parts))).await.ok()?;
        Some(answer.into_inner().event?.id)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_goes_on_when_the_relay_runs_after_a_restart() {
    let (received, address) = Received::listen().await;
    let env = exporting(&address);
    let folder = tempfile::tempdir().unwrap();
    let base = free_ports();
    let broker: SocketAddr = ([127, 0, 0, 1], base + 3).into();
    let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(60);
    let caller = |user: &str, role| Caller::user(&issuer.mint(user, role).unwrap(), until);
    let mut processes = Processes(Vec::new());
    // No broker yet: what is told now must wait.
    processes.start("catalog", folder.path(), base, &env);
    processes.start("booking", folder.path(), base, &env);
    let event = publish(base, &caller("admin", Role::Admin)).await;

    let channel = MeshChannel::new("booking", [format!("http://127.0.0.1:{}", base + 1)]).unwrap();
    let seat =
        eventually("a seat", SAGA, async || first_seat(base, &caller("alice", Role::Customer), &event).await).await;
    let hold =
        HoldSeatsRequest { event_id: event, seat_ids: vec![seat], request_id: "hold".into(), ..Default::default() };
    let alice = caller("alice", Role::Customer);
    BookingServiceClient::new(channel).hold_seats(alice.request(hold)).await.unwrap();
    let trace = eventually("the hold's span", SAGA, async || {
        let all = received.0.lock().unwrap().clone();
        named(&all, "booking.HoldSeats").first().map(|span| span.trace_id.clone())
    })
    .await;
    processes.kill("booking");
    assert!(named(&received.of_trace(&trace), "eventix.booking.v1 publish").is_empty(), "nothing was published yet");

    let devbroker = devbroker::Config { listen: broker, data: folder.path().join("broker.db"), advertised: None };
    let _broker = devbroker::serve(devbroker, std::future::pending()).await.unwrap();
    processes.start("booking", folder.path(), base, &env);
    processes.start("payment", folder.path(), base, &env);

    let (publish, process) = eventually("the fact's spans", SAGA, async || {
        hop(&received.of_trace(&trace), "eventix.booking.v1", "BookingHeld")
    })
    .await;
    let spans = received.of_trace(&trace);
    assert!(spans.iter().any(|span| span.span_id == publish.parent_span_id), "published under the hold's span");
    assert_eq!(process.parent_span_id, publish.span_id);
    assert!(process.links.iter().any(|link| link.span_id == publish.span_id));
}

async fn first_seat(base: u16, caller: &Caller, event: &str) -> Option<String> {
    use common::proto::catalog::v1::{GetEventRequest, StreamSeatingPlanRequest};
    let channel = MeshChannel::new("catalog", [format!("http://127.0.0.1:{base}")]).unwrap();
    let mut client = CatalogServiceClient::new(channel);
    let request = GetEventRequest { event_id: event.to_owned() };
    let found = client.get_event(caller.request(request)).await.ok()?.into_inner().event?;
    let request = StreamSeatingPlanRequest { seating_plan_id: found.seating_plan_id };
    let mut stream = client.stream_seating_plan(caller.request(request)).await.ok()?.into_inner();
    while let Some(part) = stream.message().await.ok()? {
        if let Some(seat) = part.rows.first().and_then(|row| row.seats.first()) {
            return Some(seat.id.clone());
        }
    }
    None
}
