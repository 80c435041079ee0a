//! A broker behind TLS: met when its authority is trusted, and by nobody else. The development broker speaks plain text, so
//! a proxy in front of it shows the certificate.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use common::bus::{Bus, BusError, Outgoing};
use common::error::chain;
use common::settings::KafkaSettings;
use common::testing::TestDb;
use common::testing::authority::{THIS_MACHINE, TestAuthority};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::brokers::Process;
use crate::world::{TOPIC, World, fact};

/// A broker that tells its clients to come by way of the proxy.
struct SecureBroker {
    address: String,
    authority: TestAuthority,
    _broker: Process,
    _proxy: JoinSet<()>,
}

impl SecureBroker {
    async fn start() -> Self {
        let authority = TestAuthority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("localhost:{}", listener.local_addr().unwrap().port());
        let broker = Process::devbroker_known_as(&address).await;
        let mut proxy = JoinSet::new();
        proxy.spawn(forward(listener, authority.acceptor(THIS_MACHINE), broker.addr.to_string()));
        Self { address, authority, _broker: broker, _proxy: proxy }
    }

    fn bus(&self, tls: bool, ca_file: Option<PathBuf>) -> Bus {
        Bus::with(&self.address, &KafkaSettings { tls, ca_file, ..KafkaSettings::default() }).unwrap()
    }
}

async fn forward(listener: TcpListener, acceptor: TlsAcceptor, broker: String) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, broker) = (acceptor.clone(), broker.clone());
        connections.spawn(async move {
            if let Ok(mut outside) = acceptor.accept(stream).await
                && let Ok(mut inside) = TcpStream::connect(broker).await
            {
                let _ = copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}

#[tokio::test]
async fn records_go_out_and_in_over_tls() {
    let broker = SecureBroker::start().await;
    let bus = broker.bus(true, Some(broker.authority.ca_file()));
    bus.ensure_topic("secret", 2).await.unwrap();

    let record = Outgoing { key: b"k".to_vec(), value: vec![7; 200_000], headers: BTreeMap::new() };
    bus.producer("secret").produce(1, vec![record.clone()]).await.unwrap();
    let found = bus.open("secret", 1).await.unwrap().fetch(0, Duration::from_millis(500)).await.unwrap();

    assert_eq!(found[0].value, record.value);
}

#[tokio::test]
async fn a_broker_of_a_strange_authority_is_not_met_and_told_why() {
    let broker = SecureBroker::start().await;
    let stranger = TestAuthority::new();

    for ca_file in [Some(stranger.ca_file()), None] {
        let refused = broker.bus(true, ca_file).ensure_topic("secret", 1).await.unwrap_err();
        assert!(matches!(refused, BusError::Kafka("connect", _)), "{refused:?}");
        assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    }
}

#[tokio::test]
async fn plain_text_and_tls_do_not_meet() {
    let broker = SecureBroker::start().await;
    let plain = Process::devbroker().await;

    let plainly = broker.bus(false, None).ensure_topic("secret", 1).await;
    let settings = KafkaSettings { tls: true, ca_file: Some(broker.authority.ca_file()), ..KafkaSettings::default() };
    let securely = Bus::with(&plain.addr.to_string(), &settings).unwrap().ensure_topic("plain", 1).await;

    assert!(plainly.is_err() && securely.is_err());
    assert!(Bus::with("localhost:1", &KafkaSettings { ca_file: Some("absent.pem".into()), ..settings }).is_err());
}

#[tokio::test]
async fn facts_flow_over_tls_from_outbox_to_inbox() {
    let broker = SecureBroker::start().await;
    let bus = broker.bus(true, Some(broker.authority.ca_file()));
    let mut world = World::over(TestDb::sqlite().await, bus, TOPIC).await;
    world.run();
    let aggregates = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];

    for aggregate in aggregates {
        world.tell(&[fact(aggregate, 1, "x"), fact(aggregate, 2, "x")]).await;
    }

    for aggregate in aggregates {
        world.until_effects(aggregate, &[1, 2]).await;
    }
    world.halt().await;
}
