//! The product in processes of their own that trust an OIDC issuer behind TLS: identity as production has it.

use common::auth::Role;
use common::testing::authority::{THIS_MACHINE, TestAuthority};
use common::testing::issuer::{CLIENT_SECRET, TestIssuer, TestKey, sign};
use http::StatusCode;
use serde_json::{Value, json};

use crate::client::SAGA;
use crate::harness::mesh::{Databases, Mesh, Plan, Service};
use crate::harness::{Product, eventually, token};

const EVENTS: &str =
    "{ events(first: 50) { edges { node { id seatMap { zones { rows { seats { id status } } } } } } } }";
const HOLD: &str =
    "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) { booking { id } userErrors { code } } }";
const PAY: &str =
    "mutation($input: PayBookingInput!) { payBooking(input: $input) { booking { id } userErrors { code } } }";
const BOOKING: &str = "query($id: ID!) { booking(id: $id) { state payment { state } } }";

/// A mesh on the databases of a product with demo events, and the product as its client.
async fn trusting(issuer: &TestIssuer, authority: &TestAuthority) -> (Mesh, Product) {
    let mut product = Product::start(&[]);
    assert!(product.stop().success());
    let (auth, ca_file) = (issuer.settings(), authority.ca_file().display().to_string());
    let mut plan = Plan::on(Databases::FolderOf(product.data.clone()));
    for service in Service::ALL {
        for (name, value) in [
            ("ISSUER", auth.issuer.as_str()),
            ("AUDIENCE", &auth.audience),
            ("JWKS_URL", &auth.jwks_url),
            ("ROLES_CLAIM", &auth.roles_claim),
            ("TOKEN_URL", &auth.token_url),
            ("CLIENT_ID", &auth.client_id),
            ("CLIENT_SECRET", CLIENT_SECRET),
            ("CA_FILE", &ca_file),
            ("KEY_COOLDOWN", "0s"),
        ] {
            plan = plan.with(&format!("EVENTIX_{}__AUTH__{name}", service.name().to_uppercase()), value);
        }
    }
    let mut mesh = Mesh::start(plan).await;
    product.http = mesh.http();
    (mesh, product)
}

/// Holds a free seat of some event and returns the booking.
async fn hold(product: &Product, token: &str) -> String {
    let events = product.data(None, EVENTS, json!({})).await;
    let (event, seat) = free_seat(&events).expect("a free seat");
    let input = json!({"eventId": event, "seatIds": [seat], "idempotencyKey": "hold"});
    let answer = product.data(Some(token), HOLD, json!({"input": input})).await;
    assert_eq!(answer["holdSeats"]["userErrors"], json!([]));
    answer["holdSeats"]["booking"]["id"].as_str().unwrap().to_owned()
}

fn free_seat(events: &Value) -> Option<(&Value, &Value)> {
    events["events"]["edges"].as_array()?.iter().find_map(|edge| {
        let zones = edge["node"]["seatMap"]["zones"].as_array()?;
        let rows = zones.iter().filter_map(|zone| zone["rows"].as_array()).flatten();
        let mut seats = rows.filter_map(|row| row["seats"].as_array()).flatten();
        Some((&edge["node"]["id"], &seats.find(|seat| seat["status"] == "FREE")?["id"]))
    })
}

#[tokio::test]
async fn customers_of_an_oidc_issuer_buy_and_every_process_follows_its_rotation() {
    let authority = TestAuthority::new();
    let issuer = TestIssuer::start_with_tls(&authority, THIS_MACHINE).await;
    let (mut mesh, product) = trusting(&issuer, &authority).await;
    let alice = issuer.token("auth0|alice", Role::Customer);

    let booking = hold(&product, &alice).await;
    let input = json!({"bookingId": booking, "paymentToken": "tok_approve", "idempotencyKey": "pay"});
    product.data(Some(&alice), PAY, json!({"input": input})).await;
    eventually("the seat is sold and paid", SAGA, async || {
        let data = product.data(Some(&alice), BOOKING, json!({"id": booking})).await;
        let sold = data["booking"]["state"] == "CONFIRMED" && data["booking"]["payment"]["state"] == "CAPTURED";
        sold.then_some(())
    })
    .await;
    issuer.publish(&[TestKey::First, TestKey::Second]);
    let bob = sign(TestKey::Second, &issuer.claims("auth0|bob", Role::Customer));
    hold(&product, &bob).await;
    let mallory = token("mallory", "Admin");
    let (status, answer) = product.post(Some(&mallory), EVENTS, json!({})).await.unwrap();

    assert_eq!(status, StatusCode::UNAUTHORIZED, "a development token: {answer}");
    assert_eq!(issuer.tokens_asked(), Service::ALL.len(), "one token of its own for each process");
    for service in Service::ALL {
        assert!(!mesh.node(service).log().contains(CLIENT_SECRET), "{}", service.name());
    }
}
