//! The whole service: it starts without a broker, answers, and stops in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::grpc::{Caller, MeshChannel, bind};
use common::health::Health;
use common::ids::BookingId;
use common::proto::payment::v1::GetPaymentRequest;
use common::proto::payment::v1::payment_service_client::PaymentServiceClient;
use common::runtime::{Host, Shutdown};
use common::settings::{DatabaseSettings, Peer};
use payment::Config;
use payment::config::ProviderSettings;
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::sqlite_url;

#[tokio::test(flavor = "multi_thread")]
async fn the_service_answers_without_a_broker_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let config = Config {
        database: DatabaseSettings::at(sqlite_url(&folder, "payment")),
        provider: ProviderSettings {
            database: DatabaseSettings::at(sqlite_url(&folder, "provider")),
            ..ProviderSettings::default()
        },
        brokers: "127.0.0.1:1".to_owned(),
        booking: Peer::on_loopback(1),
        ..Config::default()
    };
    let shutdown = Shutdown::new();
    let host = Host {
        listener,
        identity: issuer.identity().unwrap(),
        clock: Arc::new(SystemClock),
        instance: "test".to_owned(),
        health: Health::starting(issuer.verifier().unwrap(), shutdown.clone()),
    };
    let mut service = JoinSet::new();
    service.spawn(payment::serve(config, host, shutdown.clone()));

    let mut client = PaymentServiceClient::new(MeshChannel::new("payment", [address]).unwrap());
    let token = issuer.mint("alice", Role::Customer).unwrap();
    let caller = Caller::user(&token, Instant::now() + Duration::from_secs(20));
    let request = caller.request(GetPaymentRequest { booking_id: BookingId::new().to_string() });
    assert_eq!(client.get_payment(request).await.unwrap_err().code(), Code::NotFound);

    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), service.join_next()).await.expect("it stops");
    ended.unwrap().unwrap().unwrap();
}
