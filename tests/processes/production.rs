//! Production mode from outside: an issuer of one's own, logs for machines, and nothing told that should not be.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use common::auth::Role;
use common::grpc::{Caller, MeshChannel};
use common::ids::BookingId;
use common::proto::booking::v1::GetBookingRequest;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use common::testing::issuer::{CLIENT_SECRET, TestIssuer};
use serde_json::Value;
use tonic::Code;

use crate::deployment::{Databases, Deployment, PASSWORD, ServiceProcess, free_address, get, listening};
use crate::harness::{PATIENCE, eventually, text};

/// A booking in production, on an issuer and a database reached in plain text, which it was allowed.
async fn production(deployment: &Deployment, issuer: &TestIssuer, at: SocketAddr, admin: SocketAddr) -> ServiceProcess {
    let auth = issuer.settings();
    let process = deployment.spawn(
        "booking",
        at,
        admin,
        &[
            ("RUST_LOG", "trace"),
            ("EVENTIX_BOOKING__MODE", "production"),
            ("EVENTIX_BOOKING__ALLOW_PLAINTEXT", "true"),
            ("EVENTIX_BOOKING__AUTH__ISSUER", &auth.issuer),
            ("EVENTIX_BOOKING__AUTH__AUDIENCE", &auth.audience),
            ("EVENTIX_BOOKING__AUTH__JWKS_URL", &auth.jwks_url),
            ("EVENTIX_BOOKING__AUTH__ROLES_CLAIM", &auth.roles_claim),
            ("EVENTIX_BOOKING__AUTH__TOKEN_URL", &auth.token_url),
            ("EVENTIX_BOOKING__AUTH__CLIENT_ID", &auth.client_id),
            ("EVENTIX_BOOKING__AUTH__CLIENT_SECRET", CLIENT_SECRET),
        ],
    );
    let process = listening(process).await;
    eventually("booking ready", PATIENCE, async || (get(admin, "/health/ready").await?.0 == 200).then_some(())).await;
    process
}

fn reflects(address: SocketAddr) -> bool {
    let url = format!("http://{address}");
    let arguments = ["curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods", &url];
    let output =
        Command::new("buf").args(arguments).output().expect("`buf` is on PATH: run the tests through ./tests/run");
    output.status.success() && text(&output.stdout).contains("BookingService/HoldSeats")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_in_production_trusts_its_issuer_and_logs_no_secret() {
    let (databases, issuer) = (Databases::make(), TestIssuer::start().await);
    let deployment = Deployment::plan(&databases.settings()).await;
    let migrated = deployment.said(&["migrate", "booking"]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let (at, admin) = (free_address(), free_address());
    let process = production(&deployment, &issuer, at, admin).await;
    let mut client = BookingServiceClient::new(MeshChannel::new("booking", [format!("http://{at}")]).unwrap());
    let mut ask = async |token: &str| {
        let caller = Caller::user(token, Instant::now() + Duration::from_secs(20));
        let request = caller.request(GetBookingRequest { booking_id: BookingId::new().to_string() });
        client.get_booking(request).await.unwrap_err().code()
    };

    let token = issuer.token("alice", Role::Customer);
    let known = ask(&token).await;
    let development = ask(&crate::harness::token("alice", "Customer")).await;

    assert_eq!((known, development), (Code::NotFound, Code::Unauthenticated));
    assert!(!reflects(at) && reflects(admin), "reflection is for the admin side");
    let log = process.log();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(entry["timestamp"].is_string() && entry["level"].is_string() && entry["message"].is_string(), "{line}");
    }
    assert!(log.contains("booking starts"), "{log}");
    for secret in [PASSWORD, CLIENT_SECRET, &token] {
        assert!(!log.contains(secret), "{secret} was logged");
    }
    assert!(process.stop().await);
}

#[tokio::test]
async fn production_refuses_everything_that_development_forgives() {
    let deployment = Deployment::plan(&[]).await;
    let refused = |service: &str, mode: &str| {
        let output = deployment.command(&[service]).env(mode, "production").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        text(&output.stderr)
    };

    let booking = refused("booking", "EVENTIX_BOOKING__MODE");
    let gateway = refused("gateway", "EVENTIX_GATEWAY__MODE");

    for (said, line) in [
        (&booking, "EVENTIX_BOOKING__AUTH__ISSUER: is missing"),
        (&booking, "EVENTIX_BOOKING__DATABASE__URL: names a SQLite file"),
        (&booking, "EVENTIX_BOOKING__KAFKA__TLS: must be true in production"),
        (&booking, "EVENTIX_BOOKING__KAFKA__SASL__MECHANISM: must be set in production"),
        (&gateway, "EVENTIX_GATEWAY__AUTH__ISSUER: is missing"),
        (&gateway, "EVENTIX_GATEWAY__CURSOR_KEY: is missing"),
    ] {
        assert!(said.contains(line), "{line} is missing in:\n{said}");
    }
    assert!(!deployment.data().exists(), "a refused start leaves nothing behind");
}
