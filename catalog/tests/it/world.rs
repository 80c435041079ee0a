//! A catalog of its own for each test: database, server, booking beside it, clock in our hands, callers of every role.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use catalog::Config;
use chrono::{DateTime, Utc};
use common::auth::Role;
use common::clock::{Clock, ManualClock, SystemClock, to_wire};
use common::db::Db;
use common::dev_issuer::DevIssuer;
use common::error::Refused;
use common::grpc::{Caller, MeshChannel, Server};
use common::health::Health;
use common::proto::booking::v1::booking_service_server::BookingServiceServer;
use common::proto::catalog::v1 as proto;
use common::proto::common::v1::ListFactsRequest;
use common::proto::common::v1::fact_service_client::FactServiceClient;
use common::runtime::{Host, Shutdown};
use common::settings::{DatabaseSettings, Peer};
use proto::catalog_service_client::CatalogServiceClient;
use proto::import_seating_plan_request::Part;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Status;

use crate::booking::{ACCESS, Booking};

/// Longest a single test may take.
const PATIENCE: Duration = Duration::from_secs(100);

/// Everything a test needs.
pub struct World {
    /// Catalog, over the wire.
    pub catalog: CatalogServiceClient<MeshChannel>,
    /// Its facts, over the wire.
    pub facts: FactServiceClient<MeshChannel>,
    /// An organiser.
    pub admin: Caller,
    /// Another one.
    pub other_admin: Caller,
    /// Somebody who buys.
    pub customer: Caller,
    /// Another service.
    pub service: Caller,
    /// What catalog takes for the time.
    pub clock: Arc<ManualClock>,
    /// The service that sells.
    pub booking: Arc<Booking>,
    /// The same database, for looking behind the scenes.
    pub db: Db,
    _servers: JoinSet<()>,
    _folder: Option<TempDir>,
}

impl World {
    /// A world on a fresh SQLite file.
    pub async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/catalog.db?mode=rwc", folder.path().display());
        Self::start(url, Some(folder)).await
    }

    /// A world in a fresh PostgreSQL database.
    #[expect(clippy::disallowed_methods, reason = "says where the tests' server is; no setting of the product")]
    pub async fn on_postgres() -> Self {
        let Ok(server) = std::env::var("EVENTIX_TEST_POSTGRES") else {
            panic!("EVENTIX_TEST_POSTGRES names no PostgreSQL server: use ./tests/run, which starts one");
        };
        let name = format!("catalog_{}", common::ids::EventId::new().0.simple());
        let admin = Db::connect(&server, 1).await.unwrap();
        admin.writer().execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (address, options) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = address.rsplit_once('/').unwrap();
        let separator = if options.is_empty() { "" } else { "?" };
        Self::start(format!("{host}/{name}{separator}{options}"), None).await
    }

    async fn start(database_url: String, folder: Option<TempDir>) -> Self {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let identity = issuer.identity().unwrap();
        let clock = Arc::new(ManualClock::at("2027-01-01T00:00:00Z".parse().unwrap()));
        let mut servers = JoinSet::new();

        let booking = Arc::new(Booking::default());
        let booking_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let booking_peer = Peer::at(booking_listener.local_addr().unwrap());
        let server = Server::new("booking", identity.verifier.clone(), ACCESS)
            .add(BookingServiceServer::from_arc(booking.clone()));
        servers.spawn(async move {
            server.serve(booking_listener, "eventix.booking.v1.BookingService", Shutdown::new()).await.unwrap();
        });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let database = DatabaseSettings { connections: 8, ..DatabaseSettings::at(database_url) };
        let config = Config { database, booking: booking_peer, ..Config::default() };
        let db = Db::connect(config.database.url.expose(), 2).await.unwrap();
        catalog::migrate(&db).await.unwrap();
        let shutdown = Shutdown::new();
        let health = Health::starting(identity.verifier.clone(), shutdown.clone());
        let host = Host { listener, identity, clock: clock.clone(), instance: "test".into(), health };
        servers.spawn(async move { Box::pin(catalog::serve(config, host, shutdown)).await.unwrap() });

        let caller = |name, role| Caller::user(&issuer.mint(name, role).unwrap(), Instant::now() + PATIENCE);
        let channel = MeshChannel::new("catalog", [endpoint]).unwrap();
        Self {
            catalog: CatalogServiceClient::new(channel.clone()),
            facts: FactServiceClient::new(channel),
            admin: caller("olga", Role::Admin),
            other_admin: caller("otto", Role::Admin),
            customer: caller("carl", Role::Customer),
            service: caller("eventix-service", Role::Service),
            clock,
            booking,
            db,
            _servers: servers,
            _folder: folder,
        }
    }

    /// Whether booking answers.
    pub fn booking_is_down(&self, down: bool) {
        self.booking.down.store(down, Ordering::SeqCst);
    }

    /// The instant so many hours after the world began, on the wire.
    pub fn at(&self, hours: i64) -> Option<prost_types::Timestamp> {
        let start: DateTime<Utc> = "2027-01-01T00:00:00Z".parse().unwrap();
        Some(to_wire(start + chrono::Duration::hours(hours)))
    }

    /// Moves catalog's clock to so many hours after the world began.
    pub fn pass_until(&self, hours: i64) {
        let target = common::clock::from_wire(&self.at(hours).unwrap()).unwrap();
        self.clock.pass(target - self.clock.now());
    }

    /// Imports a file as an organiser.
    pub async fn import(
        &self,
        header: proto::ImportSeatingPlanHeader,
        file: &[u8],
    ) -> Result<proto::ImportSeatingPlanResponse, Status> {
        let header = proto::ImportSeatingPlanRequest { part: Some(Part::Header(header)) };
        let chunks: Vec<_> = file
            .chunks(200_000)
            .map(|bytes| proto::ImportSeatingPlanRequest { part: Some(Part::Chunk(bytes.to_vec().into())) })
            .collect();
        let messages = tokio_stream::iter(std::iter::once(header).chain(chunks));
        Ok(self.catalog.clone().import_seating_plan(self.admin.request(messages)).await?.into_inner())
    }

    /// A small theatre: category A with three seats, B with two, and a floor of 50 places.
    pub async fn theatre(&self) -> proto::SeatingPlanSummary {
        let floor = proto::NewArea { name: "Floor".into(), capacity: 50 };
        let header = proto::ImportSeatingPlanHeader { areas: vec![floor], ..header("Old Theatre") };
        self.import(header, &theatre_file()).await.unwrap().plan.unwrap()
    }

    /// A complete event on a plan: A costs 5000, B 3000, areas 2000.
    pub fn event_on(&self, plan: &proto::SeatingPlanSummary, title: &str, hours: i64) -> proto::NewEvent {
        let areas = plan.areas.iter().map(|area| price_of_area(&area.id, 2_000));
        proto::NewEvent {
            venue_id: plan.venue_id.clone(),
            seating_plan_id: plan.id.clone(),
            title: title.into(),
            starts_at: self.at(hours),
            ends_at: self.at(hours + 3),
            per_customer_limit: 6,
            currency: "EUR".into(),
            prices: [price("A", 5_000), price("B", 3_000)].into_iter().chain(areas).collect(),
            ..Default::default()
        }
    }

    /// Stores a draft.
    pub async fn create(&self, event: proto::NewEvent) -> Result<proto::Event, Status> {
        let request = self.admin.request(proto::CreateEventRequest { event: Some(event), ..Default::default() });
        Ok(self.catalog.clone().create_event(request).await?.into_inner().event.unwrap())
    }

    /// Publishes an event.
    pub async fn publish(&self, id: &str) -> Result<proto::Event, Status> {
        let request = self.admin.request(proto::PublishEventRequest { event_id: id.into(), ..Default::default() });
        Ok(self.catalog.clone().publish_event(request).await?.into_inner().event.unwrap())
    }

    /// A published event on a theatre of its own.
    pub async fn on_sale(&self) -> proto::Event {
        let plan = self.theatre().await;
        let draft = self.create(self.event_on(&plan, "Hamlet", 100)).await.unwrap();
        self.publish(&draft.id).await.unwrap()
    }

    /// Cancels an event.
    pub async fn cancel(&self, id: &str) -> Result<proto::Event, Status> {
        let request = self.admin.request(proto::CancelEventRequest { event_id: id.into(), ..Default::default() });
        Ok(self.catalog.clone().cancel_event(request).await?.into_inner().event.unwrap())
    }

    /// Changes an event.
    pub async fn update(&self, request: proto::UpdateEventRequest) -> Result<proto::Event, Status> {
        Ok(self.catalog.clone().update_event(self.admin.request(request)).await?.into_inner().event.unwrap())
    }

    /// Replaces a price list.
    pub async fn set_prices(&self, id: &str, prices: Vec<proto::Price>) -> Result<proto::Event, Status> {
        let request = self.admin.request(proto::SetPricesRequest { event_id: id.into(), prices, ..Default::default() });
        Ok(self.catalog.clone().set_prices(request).await?.into_inner().event.unwrap())
    }

    /// Reads an event as some caller.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<proto::Event, Status> {
        let request = caller.request(proto::GetEventRequest { event_id: id.into() });
        Ok(self.catalog.clone().get_event(request).await?.into_inner().event.unwrap())
    }

    /// Reads an offer to its end.
    pub async fn offer(&self, id: &str, version: u64) -> Result<(proto::OfferTerms, Vec<proto::OfferSeat>), Status> {
        let request = self.service.request(proto::StreamOfferRequest { event_id: id.into(), version });
        let mut stream = self.catalog.clone().stream_offer(request).await?.into_inner();
        let terms = stream.message().await?.unwrap().terms.unwrap();
        let mut seats = Vec::new();
        while let Some(message) = stream.message().await? {
            assert!(message.terms.is_none() && message.seats.len() <= 2_000);
            seats.extend(message.seats);
        }
        Ok((terms, seats))
    }

    /// The rows of an event's newest offer.
    pub async fn rows_on_offer(&self, id: &str) -> Vec<proto::OfferRow> {
        let request = self.service.request(proto::StreamOfferRequest { event_id: id.into(), version: 0 });
        let mut stream = self.catalog.clone().stream_offer(request).await.unwrap().into_inner();
        let mut rows = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            rows.extend(message.rows);
        }
        rows
    }

    /// Reads a plan to its end.
    pub async fn plan(&self, id: &str) -> Result<(proto::SeatingPlanSummary, Vec<proto::PlanRow>), Status> {
        let request = self.customer.request(proto::StreamSeatingPlanRequest { seating_plan_id: id.into() });
        let mut stream = self.catalog.clone().stream_seating_plan(request).await?.into_inner();
        let summary = stream.message().await?.unwrap().summary.unwrap();
        let mut rows = Vec::new();
        while let Some(message) = stream.message().await? {
            assert!(message.rows.iter().map(|row| row.seats.len()).sum::<usize>() <= 2_000);
            rows.extend(message.rows);
        }
        Ok((summary, rows))
    }

    /// The facts told about an event.
    pub async fn facts(&self, event_id: &str) -> Vec<common::fact::Fact> {
        let page_size = 500;
        let request = ListFactsRequest { aggregate_id: event_id.into(), page_size, ..Default::default() };
        let listed = self.facts.clone().list_facts(self.service.request(request)).await.unwrap().into_inner();
        let decode = |record: &common::proto::common::v1::FactRecord| {
            common::fact::Fact::decode(&record.value, Default::default()).unwrap()
        };
        listed.records.iter().map(decode).collect()
    }

    /// Number of rows of a table.
    pub async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT CAST(count(*) AS bigint) AS n FROM {table}");
        self.db.query(self.db.reader(), sql, []).await.unwrap()[0].try_get("", "n").unwrap()
    }
}

/// A header that finds or makes a venue.
pub fn header(venue: &str) -> proto::ImportSeatingPlanHeader {
    proto::ImportSeatingPlanHeader { venue: Some(venue_named(venue)), ..Default::default() }
}

/// A venue in Kharkiv.
pub fn venue_named(name: &str) -> proto::Venue {
    proto::Venue {
        name: name.into(),
        city: "Kharkiv".into(),
        country: "UA".into(),
        time_zone: "Europe/Kyiv".into(),
        latitude: Some(49.98),
        longitude: Some(36.26),
        ..Default::default()
    }
}

/// The file of [`World::theatre`].
pub fn theatre_file() -> Vec<u8> {
    let seat = |guid: &str, number: &str, category: &str| json!({"seat_guid": guid, "seat_number": number, "position": {"x": 1.5, "y": 2}, "category": category});
    let plan = json!({
        "name": "Main hall", "size": {"width": 100, "height": 100},
        "categories": [{"name": "A", "color": "#ff0000"}, {"name": "B"}],
        "zones": [{"name": "Stalls", "uuid": "u-1", "position": {"x": 10, "y": 20}, "rows": [
            {"row_number": "00", "seats": [seat("g1", "1", "A"), seat("g2", "2", "A"), seat("g3", "3", "A")]},
            {"row_number": "-2", "row_label": "Back", "seat_label": "Chair %s", "seats": [seat("g4", "1", "B"), seat("g5", "2", "B")]},
            {"row_number": "empty", "seats": []},
        ], "areas": [{"shape": "circle", "circle": {"radius": 2.5}, "color": "blue", "rotation": 30}]}],
    });
    plan.to_string().into_bytes()
}

/// A price of a category.
pub fn price(category: &str, amount_minor: i64) -> proto::Price {
    proto::Price { target: Some(proto::price::Target::Category(category.into())), amount_minor }
}

/// A price of an area.
pub fn price_of_area(id: &str, amount_minor: i64) -> proto::Price {
    proto::Price { target: Some(proto::price::Target::AreaId(id.into())), amount_minor }
}

/// A price of one seat.
pub fn price_of_seat(id: &str, amount_minor: i64) -> proto::Price {
    proto::Price { target: Some(proto::price::Target::SeatId(id.into())), amount_minor }
}

/// What a call was refused with: code, reason and field.
pub fn refusal<T: std::fmt::Debug>(result: Result<T, Status>) -> (tonic::Code, String, String) {
    let status = result.expect_err("the call was not refused");
    let refused = Refused::of(&status);
    (status.code(), refused.reason, refused.field.unwrap_or_default())
}

/// One of the real plans that stand beside the project.
pub fn shared_plan(name: &str) -> Vec<u8> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/seating")).join(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{} is needed by this test and cannot be read ({error}): put `shared` beside the project",
            path.display()
        )
    })
}

/// Reads JSON.
pub fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}
