//! A running gateway in front of scripted services, and a client for it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use common::auth::{Identity, Role};
use common::clock::{Clock, SystemClock};
use common::dev_issuer::DevIssuer;
use common::error::{ErrorKind, status};
use common::health::Health;
use common::oidc::AuthSettings;
use common::proto::booking::v1 as booking;
use common::proto::catalog::v1 as catalog;
use common::proto::common::v1::Money;
use common::runtime::{Host, Shutdown};
use common::settings::Peer;
use common::telemetry::Telemetry;
use gateway::Config;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Status;

use crate::fakes::{self, Script};

/// A gateway and what stands behind it.
pub struct World {
    pub script: Arc<Script>,
    pub issuer: Arc<DevIssuer>,
    pub base: String,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    endpoints: [SocketAddr; 3],
    stop: Shutdown,
    services: Shutdown,
    tasks: JoinSet<()>,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl World {
    /// As in the embedded run.
    pub async fn start() -> Self {
        Self::with(true, |_| {}).await
    }

    /// As in production: no development issuer, no introspection.
    pub async fn closed() -> Self {
        Self::with(false, |_| {}).await
    }

    /// With other settings.
    pub async fn with(embedded: bool, change: impl FnOnce(&mut Config)) -> Self {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        Self::run(issuer.identity().unwrap(), embedded.then(|| issuer.clone()), issuer, change).await
    }

    /// As in production, with everybody trusting the same issuer of the test's.
    pub async fn trusting(settings: &AuthSettings) -> Self {
        let (identity, keeper) = common::oidc::identity(settings).unwrap();
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let mut world = Self::run(identity, None, issuer, |_| {}).await;
        let until = world.services.clone();
        world.tasks.spawn(async move { keeper.run(until).await.unwrap() });
        world
    }

    async fn run(
        identity: Identity,
        dev: Option<Arc<DevIssuer>>,
        issuer: Arc<DevIssuer>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();
        TELEMETRY.get_or_init(|| Telemetry::start("gateway-tests").unwrap());
        let (script, mut tasks) = (Arc::new(Script::default()), JoinSet::new());
        let services = Shutdown::new();
        let endpoints = fakes::start(&script, &identity.verifier, &mut tasks, &services).await;
        let before = Before { script, issuer, identity, dev, endpoints, services, tasks };
        before.gateway(Arc::new(SystemClock), change).await
    }

    /// Another gateway in front of the same services, as a replica would be, with a clock of its own.
    pub async fn beside(&self, clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> Self {
        let before = Before {
            script: self.script.clone(),
            issuer: self.issuer.clone(),
            identity: self.issuer.identity().unwrap(),
            dev: Some(self.issuer.clone()),
            endpoints: self.endpoints,
            services: self.services.clone(),
            tasks: JoinSet::new(),
        };
        before.gateway(clock, change).await
    }

    /// Stops the services, but not the gateway.
    pub async fn stop_services(&self) {
        self.services.cancel();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    /// Asks the gateway to stop, and does not wait.
    pub fn begin_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the gateway and waits for it and the services to end.
    pub async fn end(mut self) {
        self.stop.cancel();
        self.services.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    pub fn token(&self, user: &str, role: Role) -> String {
        self.issuer.mint(user, role).unwrap()
    }

    pub fn alice(&self) -> String {
        self.token("alice", Role::Customer)
    }

    pub fn admin(&self) -> String {
        self.token("boss", Role::Admin)
    }

    /// Sends anything.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// Sends a GraphQL request as JSON.
    pub async fn post(&self, token: Option<&str>, body: &Value, headers: &[(&str, &str)]) -> Answer {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut all = vec![("content-type", "application/json")];
        all.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        all.extend_from_slice(headers);
        self.send(Method::POST, "/graphql", &all, body.to_string()).await
    }

    /// Executes a document without a token.
    pub async fn browse(&self, query: &str) -> Value {
        self.post(None, &json!({"query": query}), &[]).await.json()
    }

    /// Executes a document with a token.
    pub async fn ask(&self, token: &str, query: &str) -> Value {
        self.post(Some(token), &json!({"query": query}), &[]).await.json()
    }

    /// Executes a document with a token and variables.
    pub async fn ask_with(&self, token: &str, query: &str, variables: Value) -> Value {
        self.post(Some(token), &json!({"query": query, "variables": variables}), &[]).await.json()
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// What there is before a gateway.
struct Before {
    script: Arc<Script>,
    issuer: Arc<DevIssuer>,
    identity: Identity,
    dev: Option<Arc<DevIssuer>>,
    endpoints: [SocketAddr; 3],
    services: Shutdown,
    tasks: JoinSet<()>,
}

impl Before {
    async fn gateway(self, clock: Arc<dyn Clock>, change: impl FnOnce(&mut Config)) -> World {
        let Self { script, issuer, identity, dev, endpoints, services, mut tasks } = self;
        let [catalog, booking, payment] = endpoints.map(Peer::at);
        let mut config = Config { catalog, booking, payment, ..Config::default() };
        change(&mut config);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = Shutdown::new();
        let health = Health::starting(identity.verifier.clone(), stop.clone());
        let host = Host { listener, identity, clock, instance: "test".into(), health };
        let until = stop.clone();
        tasks.spawn(async move { gateway::serve(config, host, dev, until).await.unwrap() });
        let client = Client::builder(TokioExecutor::new()).build_http();
        World { script, issuer, base, client, endpoints, stop, services, tasks }
    }
}

/// Code of the first top-level error.
pub fn code(answer: &Value) -> Option<&str> {
    answer["errors"][0]["extensions"]["code"].as_str()
}

/// The n-th well-formed id.
pub fn id(n: u32) -> String {
    format!("01900000-0000-7000-8000-{n:012}")
}

pub fn eur(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "EUR".into() })
}

/// A published event.
pub fn event(n: u32) -> catalog::Event {
    catalog::Event {
        id: id(n),
        title: format!("Event {n}"),
        status: catalog::EventStatus::Published.into(),
        starts_at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        seating_plan_id: id(900),
        currency: "EUR".into(),
        price_min: eur(1000),
        price_max: eur(5000),
        capacity: 30,
        version: 3,
        offer_version: 1,
        venue: Some(venue(800)),
        ..Default::default()
    }
}

pub fn venue(n: u32) -> catalog::Venue {
    catalog::Venue { id: id(n), name: format!("Hall {n}"), time_zone: "Europe/Kyiv".into(), ..Default::default() }
}

/// A held booking of one seat of event 1.
pub fn booking(n: u32) -> booking::Booking {
    let item = booking::BookingItem {
        id: id(n + 1000),
        seat_id: id(n + 2000),
        label: "Stalls, row C, seat 12".into(),
        price: eur(2500),
        ..Default::default()
    };
    booking::Booking {
        id: id(n),
        customer_id: "alice".into(),
        event_id: id(1),
        state: booking::BookingState::Held.into(),
        total: eur(2500),
        items: vec![item],
        ..Default::default()
    }
}

/// Waits until something holds.
pub async fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// A refusal as the services make them.
pub fn refusal(kind: ErrorKind, reason: &str, field: Option<&str>, metadata: &[(&str, &str)]) -> Status {
    let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    status(kind, reason, format!("refused: {reason}"), field.map(Into::into), metadata)
}
