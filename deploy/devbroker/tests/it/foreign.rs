//! A client that shares no code with us: librdkafka through PyPI's confluent-kafka.

use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Broker, patiently};

#[tokio::test]
async fn serves_a_foreign_client() {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
    let python = std::env::var("EVENTIX_TEST_PYTHON")
        .expect("EVENTIX_TEST_PYTHON must name a python that has confluent-kafka: run the tests through ./tests/run");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign.py");
    let dir = TempDir::new().unwrap();
    let broker = Broker::start(&dir.path().join("log")).await;

    let trial = Command::new(python).arg(script).arg(broker.addr.to_string()).kill_on_drop(true).output();
    let trial = patiently(trial).await.unwrap();

    let told = String::from_utf8_lossy(&trial.stdout);
    assert!(trial.status.success(), "{told}{}", String::from_utf8_lossy(&trial.stderr));
    println!("{told}");
    broker.stop().await;
}
