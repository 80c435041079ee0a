//! A frontend's view of the product: typed outcomes of the mutations, at an address that may change with a restart.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::harness::{Product, eventually};

/// Time for one HTTP exchange.
const EXCHANGE: Duration = Duration::from_secs(60);
/// Time for a saga to end, on a busy machine.
pub const SAGA: Duration = Duration::from_secs(60);

const BOOKING: &str = "id state expiresAt event { id } total { amountMinor currency }
    items { seat { id label } area { id name } price { amountMinor currency } }
    payment { state declineCode } tickets { id token void seat { label } }";

/// A client of one product; cheap to clone, follows restarts.
#[derive(Clone)]
pub struct Shop {
    address: Arc<RwLock<SocketAddr>>,
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    issuer: Arc<DevIssuer>,
}

/// What a mutation on a booking answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Null on every refusal.
    pub booking: Value,
    /// Empty on success.
    pub errors: Vec<Value>,
}

impl Answer {
    /// The booking's id; fails the test on a refusal.
    pub fn id(&self) -> String {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        self.booking["id"].as_str().expect("a booking").to_owned()
    }

    /// The one refusal's code; fails the test otherwise.
    pub fn code(&self) -> &str {
        assert!(self.booking.is_null() && self.errors.len() == 1, "{self:?}");
        self.errors[0]["code"].as_str().expect("a code")
    }
}

/// A seat as the seat map shows it.
#[derive(Debug, Clone)]
pub struct Seat {
    pub id: String,
    pub status: String,
    pub accessible: bool,
}

impl Shop {
    /// A client of a running product.
    pub fn of(product: &Product) -> Self {
        Self::at(product.http)
    }

    /// A client of the gateway at an address.
    pub fn at(gateway: SocketAddr) -> Self {
        Self {
            address: Arc::new(RwLock::new(gateway)),
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http(),
            issuer: DevIssuer::new(Arc::new(SystemClock)).unwrap(),
        }
    }

    /// A new product with settings from the environment, its client, and the demo event with most zones of seats.
    pub async fn open(env: &[(&str, &str)]) -> (Product, Self, String) {
        let product = Product::start_with(&[], env);
        let shop = Self::of(&product);
        let event = shop.seated_event().await;
        (product, shop, event)
    }

    /// Follows the product to its new address.
    pub fn moved(&self, product: &Product) {
        *self.address.write().unwrap() = product.http;
    }

    /// One exchange: HTTP status and answer, or why there is none.
    pub async fn post(
        &self,
        user: Option<(&str, Role)>,
        query: &str,
        variables: Value,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let address = *self.address.read().unwrap();
        let body = json!({"query": query, "variables": variables}).to_string();
        let mut request =
            http::Request::post(format!("http://{address}/graphql")).header("content-type", "application/json");
        if let Some((user, role)) = user {
            request = request.header("authorization", format!("Bearer {}", self.issuer.mint(user, role)?));
        }
        let exchange = async {
            let response = self.http.request(request.body(Full::from(body))?).await?;
            let status = response.status();
            let bytes = response.into_body().collect().await?.to_bytes();
            Ok((status, serde_json::from_slice(&bytes)?))
        };
        tokio::time::timeout(EXCHANGE, exchange).await?
    }

    /// Data of a query; any error fails the test.
    pub async fn data(&self, user: Option<(&str, Role)>, query: &str, variables: Value) -> Value {
        let (status, mut answer) = self.post(user, query, variables).await.unwrap();
        assert!(status == StatusCode::OK && answer.get("errors").is_none(), "{status}: {answer}");
        answer["data"].take()
    }

    async fn mutate(&self, user: &str, name: &str, input: Value) -> anyhow::Result<Answer> {
        let type_name = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {type_name}!) {{ {name}(input: $input) {{
                booking {{ {BOOKING} }} userErrors {{ field code message seatIds }} }} }}"
        );
        let (status, mut answer) = self.post(Some((user, Role::Customer)), &query, json!({"input": input})).await?;
        anyhow::ensure!(status == StatusCode::OK && answer.get("errors").is_none(), "{status}: {answer}");
        let mut payload = answer["data"][name].take();
        let errors = payload["userErrors"].as_array().cloned().unwrap_or_default();
        Ok(Answer { booking: payload["booking"].take(), errors })
    }

    /// Holds seats under an idempotency key.
    pub async fn hold(&self, user: &str, event: &str, seats: &[String], key: &str) -> anyhow::Result<Answer> {
        let input = json!({"eventId": event, "seatIds": seats, "areas": [], "idempotencyKey": key});
        self.mutate(user, "holdSeats", input).await
    }

    /// Holds places of one area.
    pub async fn hold_places(
        &self,
        user: &str,
        event: &str,
        area: &str,
        quantity: u32,
        key: &str,
    ) -> anyhow::Result<Answer> {
        let areas = json!([{"areaId": area, "quantity": quantity}]);
        let input = json!({"eventId": event, "seatIds": [], "areas": areas, "idempotencyKey": key});
        self.mutate(user, "holdSeats", input).await
    }

    /// Starts paying.
    pub async fn pay(&self, user: &str, booking: &str, token: &str, key: &str) -> anyhow::Result<Answer> {
        let input = json!({"bookingId": booking, "paymentToken": token, "idempotencyKey": key});
        self.mutate(user, "payBooking", input).await
    }

    /// Releases a hold.
    pub async fn release(&self, user: &str, booking: &str, key: &str) -> anyhow::Result<Answer> {
        self.mutate(user, "releaseBooking", json!({"bookingId": booking, "idempotencyKey": key})).await
    }

    /// Cancels a confirmed booking.
    pub async fn cancel(&self, user: &str, booking: &str, key: &str) -> anyhow::Result<Answer> {
        self.mutate(user, "cancelBooking", json!({"bookingId": booking, "idempotencyKey": key})).await
    }

    /// Scans a ticket at a gate: the ticket, null when refused, and the refusals.
    pub async fn check_in(&self, token: &str, gate: &str) -> (Value, Vec<Value>) {
        let query = "mutation($input: CheckInInput!) { checkIn(input: $input) {
            ticket { id usedAt usedGate seat { id label } } userErrors { field code message } } }";
        let input = json!({"input": {"token": token, "gate": gate}});
        let mut payload = self.data(Some(("door", Role::Admin)), query, input).await["checkIn"].take();
        (payload["ticket"].take(), payload["userErrors"].as_array().cloned().unwrap_or_default())
    }

    /// The answer of a GET, as JSON.
    pub async fn get(&self, path: &str) -> Value {
        let address = *self.address.read().unwrap();
        let request = http::Request::get(format!("http://{address}{path}")).body(Full::default()).unwrap();
        let body = self.http.request(request).await.unwrap().into_body();
        serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap()
    }

    /// A booking as its customer sees it; null when it is not theirs.
    pub async fn booking(&self, user: &str, id: &str) -> Value {
        let query = format!("query($id: ID!) {{ booking(id: $id) {{ {BOOKING} }} }}");
        self.data(Some((user, Role::Customer)), &query, json!({"id": id})).await["booking"].take()
    }

    /// Waits until a booking is in a state, and returns it.
    pub async fn until(&self, user: &str, id: &str, state: &str) -> Value {
        eventually(&format!("booking {id} {state}"), SAGA, async || {
            let booking = self.booking(user, id).await;
            (booking["state"] == state).then_some(booking)
        })
        .await
    }

    /// Waits until a booking's payment is in a state.
    pub async fn until_payment(&self, user: &str, id: &str, state: &str) {
        eventually(&format!("payment {id} {state}"), SAGA, async || {
            (self.booking(user, id).await["payment"]["state"] == state).then_some(())
        })
        .await;
    }

    /// The demo event with most zones of seats.
    pub async fn seated_event(&self) -> String {
        let query = "{ events(first: 50) { edges { node { id seatMap { zones { name } } } } } }";
        let data = self.data(None, query, json!({})).await;
        let edges = data["events"]["edges"].as_array().unwrap().clone();
        let seated = edges.iter().max_by_key(|edge| edge["node"]["seatMap"]["zones"].as_array().map_or(0, Vec::len));
        seated.expect("demo events")["node"]["id"].as_str().unwrap().to_owned()
    }

    /// The event whose one area has the fewest places: event, area, places.
    pub async fn smallest_area(&self) -> (String, String, usize) {
        let query = "{ events(first: 50) { edges { node { id seatMap { areas { id capacity } } } } } }";
        let data = self.data(None, query, json!({})).await;
        let events = data["events"]["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]);
        let areas = events.filter_map(|event| {
            let area = event["seatMap"]["areas"].as_array()?.first()?;
            Some((area["capacity"].as_u64()?, event["id"].as_str()?.to_owned(), area["id"].as_str()?.to_owned()))
        });
        let (capacity, event, area) = areas.min().expect("a demo event with an area");
        (event, area, usize::try_from(capacity).unwrap())
    }

    /// Every seat of an event, in plan order.
    pub async fn seats(&self, event: &str) -> Vec<Seat> {
        let query =
            "query($id: ID!) { event(id: $id) { seatMap { zones { rows { seats { id status accessible } } } } } }";
        let data = self.data(None, query, json!({"id": event})).await;
        let zones = data["event"]["seatMap"]["zones"].as_array().unwrap();
        let rows = zones.iter().flat_map(|zone| zone["rows"].as_array().unwrap());
        rows.flat_map(|row| row["seats"].as_array().unwrap())
            .map(|seat| Seat {
                id: seat["id"].as_str().unwrap().to_owned(),
                status: seat["status"].as_str().unwrap().to_owned(),
                accessible: seat["accessible"].as_bool().unwrap(),
            })
            .collect()
    }

    /// Ids of the free seats of an event, in plan order.
    pub async fn free_seats(&self, event: &str) -> Vec<String> {
        self.seats(event).await.into_iter().filter(|s| s.status == "FREE" && !s.accessible).map(|s| s.id).collect()
    }
}

/// `eventix audit` finds every invariant whole.
pub fn assert_audit_clean(product: &Product) {
    let output = product.command(&["audit"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "audit: {said}{}", String::from_utf8_lossy(&output.stderr));
}
