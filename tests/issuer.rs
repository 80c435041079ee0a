//! The product in processes of their own that trust an OIDC issuer, over TLS: what production does, on this machine.

#![expect(clippy::unwrap_used, reason = "a test stops at anything unexpected")]

#[path = "harness/mod.rs"]
mod harness;

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::auth::Role;
use common::oidc::AuthSettings;
use common::testing::authority::{THIS_MACHINE, TestAuthority};
use common::testing::issuer::{CLIENT_SECRET, TestIssuer, TestKey, sign};
use http::StatusCode;
use serde_json::{Value, json};

use harness::{EVENTIX, PATIENCE, Product, eventually};

const SERVICES: [&str; 4] = ["catalog", "booking", "payment", "gateway"];
const FREE_SEAT: &str =
    "{ events(first: 50) { edges { node { id seatMap { zones { rows { seats { id status } } } } } } } }";
const HOLD: &str = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) {
    booking { id state } userErrors { code message } } }";
const PAY: &str = "mutation($input: PayBookingInput!) { payBooking(input: $input) {
    booking { id state } userErrors { code message } } }";
const BOOKING: &str = "query($id: ID!) { booking(id: $id) { state tickets { id } payment { state } } }";

/// A process of ours, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every service and the broker as a process, on the databases of a product that has stopped.
struct Mesh {
    /// Speaks to the gateway.
    product: Product,
    _processes: Vec<Running>,
}

impl Mesh {
    async fn trusting(settings: &AuthSettings) -> Self {
        let mut product = Product::start(&[]);
        assert!(product.stop().success());
        let ports: Vec<SocketAddr> = free_addresses();
        let broker = ports[SERVICES.len()];
        let mut devbroker = Command::new(Path::new(EVENTIX).with_file_name("eventix-devbroker"));
        devbroker.args(["--listen", &broker.to_string(), "--data"]).arg(product.data.join("broker.db"));
        let mut processes = vec![start(devbroker, &product, "broker")];
        for (service, address) in SERVICES.iter().zip(&ports) {
            let mut command = Command::new(EVENTIX);
            command.args([service, "--listen", &address.to_string(), "--admin-listen", "127.0.0.1:0"]);
            if *service != "gateway" {
                command.arg("--data").arg(&product.data).args(["--brokers", &broker.to_string()]);
            }
            command.envs(environment(service, &ports, settings));
            processes.push(start(command, &product, service));
        }
        product.http = ports[3];
        let mesh = Self { product, _processes: processes };
        eventually("everything is ready", PATIENCE, async || mesh.is_ready().await.then_some(())).await;
        mesh
    }

    async fn is_ready(&self) -> bool {
        // Nobody may listen yet.
        tokio::net::TcpStream::connect(self.product.http).await.is_ok()
            && self.product.get("/health/ready").await.0 == StatusCode::OK
    }

    /// Some seat that is free: its event and itself.
    async fn free_seat(&self) -> (String, String) {
        let data = self.product.data(None, FREE_SEAT, json!({})).await;
        let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
        for edge in list(&data["events"], "edges") {
            let seats = list(&edge["node"]["seatMap"], "zones").into_iter().flat_map(|zone| list(&zone, "rows"));
            let free = seats.flat_map(|row| list(&row, "seats")).find(|seat| seat["status"] == "FREE");
            if let Some(seat) = free {
                return (text(&edge["node"]["id"]), text(&seat["id"]));
            }
        }
        panic!("no free seat: {data}");
    }

    /// Holds a free seat and returns the booking.
    async fn hold(&self, token: &str, key: &str) -> String {
        let (event, seat) = self.free_seat().await;
        let input = json!({"eventId": event, "seatIds": [seat], "idempotencyKey": key});
        let answer = self.product.data(Some(token), HOLD, json!({"input": input})).await;
        assert_eq!(answer["holdSeats"]["userErrors"], json!([]));
        text(&answer["holdSeats"]["booking"]["id"])
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// One for each service, and one for the broker.
fn free_addresses() -> Vec<SocketAddr> {
    let held: Vec<TcpListener> = (0..=SERVICES.len()).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

fn start(mut command: Command, product: &Product, name: &str) -> Running {
    let log = File::create(product.data.join(format!("{name}.log"))).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Running(command.spawn().unwrap())
}

/// Where the others are, and whom to trust.
fn environment(service: &str, ports: &[SocketAddr], settings: &AuthSettings) -> Vec<(String, String)> {
    let mut settings = vec![
        ("AUTH__ISSUER", settings.issuer.clone()),
        ("AUTH__AUDIENCE", settings.audience.clone()),
        ("AUTH__JWKS_URL", settings.jwks_url.clone()),
        ("AUTH__ROLES_CLAIM", settings.roles_claim.clone()),
        ("AUTH__TOKEN_URL", settings.token_url.clone()),
        ("AUTH__CLIENT_ID", settings.client_id.clone()),
        ("AUTH__CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ("AUTH__CA_FILE", settings.ca_file.as_ref().unwrap().display().to_string()),
        ("AUTH__KEY_COOLDOWN", "0s".to_owned()),
    ];
    let peers: &[(&str, usize)] = match service {
        "catalog" => &[("BOOKING__ENDPOINTS", 1)],
        "booking" => &[("CATALOG__ENDPOINTS", 0), ("PAYMENT__ENDPOINTS", 2)],
        "payment" => &[("BOOKING__ENDPOINTS", 1)],
        _ => &[("CATALOG__ENDPOINTS", 0), ("BOOKING__ENDPOINTS", 1), ("PAYMENT__ENDPOINTS", 2)],
    };
    settings.extend(peers.iter().map(|(name, port)| (*name, format!("http://{}", ports[*port]))));
    let prefix = format!("EVENTIX_{}__", service.to_uppercase());
    settings.into_iter().map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
}

#[tokio::test]
async fn customers_of_an_oidc_issuer_buy_and_its_rotation_is_followed_by_every_process() {
    let authority = TestAuthority::new();
    let issuer = TestIssuer::start_with_tls(&authority, THIS_MACHINE).await;
    let mesh = Mesh::trusting(&AuthSettings { ca_file: Some(authority.ca_file()), ..issuer.settings() }).await;
    let alice = issuer.token("auth0|alice", Role::Customer);

    let booking = mesh.hold(&alice, "hold").await;
    let input = json!({"bookingId": booking, "paymentToken": "tok_approve", "idempotencyKey": "pay"});
    mesh.product.data(Some(&alice), PAY, json!({"input": input})).await;
    eventually("the seat is sold and paid", PATIENCE, async || {
        let data = mesh.product.data(Some(&alice), BOOKING, json!({"id": booking})).await;
        let sold = data["booking"]["state"] == "CONFIRMED" && data["booking"]["payment"]["state"] == "CAPTURED";
        sold.then_some(())
    })
    .await;
    issuer.publish(&[TestKey::First, TestKey::Second]);
    let bob = sign(TestKey::Second, &issuer.claims("auth0|bob", Role::Customer));
    mesh.hold(&bob, "hold").await;

    let mallory = harness::token("mallory", "Admin");
    let (status, answer) = mesh.product.post(Some(&mallory), FREE_SEAT, json!({})).await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a development token: {answer}");
    assert_eq!(issuer.tokens_asked(), SERVICES.len(), "one token of its own for each process");
    for log in ["catalog", "booking", "payment", "gateway"].map(|name| mesh.product.data.join(format!("{name}.log"))) {
        assert!(!std::fs::read_to_string(&log).unwrap().contains(CLIENT_SECRET), "{}", log.display());
    }
}
