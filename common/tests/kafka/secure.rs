//! Kafka's listener for TLS and SASL: each mechanism proves who we are, and nothing else gets in.

use common::bus::{Bus, BusError};
use common::error::chain;
use common::settings::{KafkaSettings, SaslMechanism, SaslSettings};
use common::testing::TestDb;
use common::testing::authority::TestAuthority;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::cluster::{Cluster, given};
use crate::world::{World, fact};

/// `host:port` of every broker's secure listener, separated by commas.
const BROKERS: &str = "EVENTIX_TEST_KAFKA_SECURE";
/// PEM file of the authority that signed their certificates.
const CA_FILE: &str = "EVENTIX_TEST_KAFKA_CA";
/// As `tests/kafka` sets the brokers up.
const USERNAME: &str = "eventix";
const PASSWORD: &str = "of-the-mesh";

fn proving(mechanism: SaslMechanism, username: &str, password: &str) -> KafkaSettings {
    let sasl = SaslSettings { mechanism: Some(mechanism), username: username.into(), password: password.into() };
    let ca_file = given(CA_FILE).expect("EVENTIX_TEST_KAFKA_CA must be set: run the tests through ./tests/kafka");
    KafkaSettings { tls: true, ca_file: Some(ca_file.into()), sasl, ..KafkaSettings::default() }
}

fn bus(settings: &KafkaSettings) -> Bus {
    let brokers = given(BROKERS).expect("EVENTIX_TEST_KAFKA_SECURE must be set: run the tests through ./tests/kafka");
    Bus::with(&brokers, settings).unwrap()
}

#[tokio::test]
async fn facts_flow_over_tls_under_each_mechanism() {
    let cluster = Cluster::met().await;
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let topic = cluster.lasting_topic(&format!("secure-{mechanism:?}"));
        let bus = bus(&proving(mechanism, USERNAME, PASSWORD));
        let mut world = World::over(TestDb::sqlite().await, bus, topic).await;
        world.run();
        let aggregate = Uuid::now_v7();

        world.tell(&[fact(aggregate, 1, "x"), fact(aggregate, 2, "x")]).await;

        world.until_effects(aggregate, &[1, 2]).await;
        world.halt().await;
    }
}

#[tokio::test]
async fn a_wrong_password_or_user_is_refused_and_not_repeated() {
    Cluster::met().await;
    let mut wrong = Vec::new();
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        wrong.push((mechanism, USERNAME, "guessed-by-somebody"));
        wrong.push((mechanism, "mallory", PASSWORD));
    }

    join_all(wrong.into_iter().map(|(mechanism, username, password)| async move {
        let settings = proving(mechanism, username, password);
        let refused = bus(&settings).ensure_topic("never-made", 1).await.unwrap_err();

        let told = format!("{} {refused:?} {settings:?}", chain(&refused));
        assert!(!matches!(refused, BusError::Partitions { .. }), "{told}");
        assert!(!told.contains(password), "{told}");
    }))
    .await;
}

#[tokio::test]
async fn nobody_gets_in_without_tls_or_without_a_name_or_under_a_strange_authority() {
    Cluster::met().await;
    let stranger = TestAuthority::new();
    let good = proving(SaslMechanism::ScramSha512, USERNAME, PASSWORD);
    let wrong = [
        KafkaSettings { tls: false, ca_file: None, ..good.clone() },
        KafkaSettings { sasl: SaslSettings::default(), ..good.clone() },
        KafkaSettings { ca_file: Some(stranger.ca_file()), ..good.clone() },
        KafkaSettings { ca_file: None, ..good.clone() },
    ];

    join_all(wrong.map(|settings| async move {
        let refused = bus(&settings).ensure_topic("never-made", 1).await;
        assert!(refused.is_err(), "{settings:?}");
    }))
    .await;
}
