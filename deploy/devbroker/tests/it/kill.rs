//! kill -9 at random moments: what was acknowledged is there, at the offset that was told, once.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rskafka::client::partition::Compression;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::{PATIENCE, Process, client, create, fetch_all, partition, record, values};

const LIVES: u32 = 10;
const PRODUCERS: i32 = 4;
const PARTITIONS: i32 = 2;

/// Acknowledged values by (partition, offset).
type Acknowledged = BTreeMap<(i32, i64), String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_acknowledged_and_gives_no_offset_twice() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("log");
    let mut broker = Process::start(&data, "127.0.0.1:0".parse().unwrap()).await;
    let addr = broker.addr;
    create(&client(addr).await, "facts", PARTITIONS).await;
    let serial = Arc::new(AtomicU64::new(0));
    let mut acknowledged = Acknowledged::new();

    for _ in 0..LIVES {
        let mut producers = JoinSet::new();
        for producer in 0..PRODUCERS {
            producers.spawn(produce_until_broken(addr, producer % PARTITIONS, Arc::clone(&serial)));
        }
        sleep(random_moment()).await;
        broker.kill().await;
        for told in producers.join_all().await {
            for (place, value) in told {
                let before = acknowledged.insert(place, value);
                assert_eq!(before, None, "offset {place:?} was acknowledged twice");
            }
        }
        broker = Process::start(&data, addr).await;
    }

    let client = client(addr).await;
    let mut present = Acknowledged::new();
    for index in 0..PARTITIONS {
        let found = fetch_all(&partition(&client, "facts", index).await).await;
        assert!(
            found.iter().map(|record| record.offset).eq(0..i64::try_from(found.len()).unwrap()),
            "a gap in {index}"
        );
        present.extend((0..).map(|offset| (index, offset)).zip(values(&found)));
    }
    let missing: Vec<_> = acknowledged.iter().filter(|(place, value)| present.get(place) != Some(value)).collect();
    assert!(missing.is_empty(), "acknowledged but not there: {missing:?}");
    let distinct: HashSet<&String> = present.values().collect();
    assert_eq!(distinct.len(), present.len(), "a record is there twice although no client sent it twice");
    assert!(acknowledged.len() > usize::try_from(LIVES).unwrap(), "only {} acknowledged", acknowledged.len());
}

/// Every value is sent once only; the first broken call ends it.
async fn produce_until_broken(addr: SocketAddr, index: i32, serial: Arc<AtomicU64>) -> Acknowledged {
    let client = client(addr).await;
    let partition = partition(&client, "facts", index).await;
    let mut told = Acknowledged::new();
    loop {
        let value = serial.fetch_add(1, Ordering::Relaxed).to_string();
        let sent = partition.produce(vec![record(value.clone())], Compression::NoCompression);
        let Ok(Ok(offsets)) = timeout(PATIENCE, sent).await else { return told };
        told.insert((index, offsets[0]), value);
    }
}

fn random_moment() -> Duration {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    Duration::from_millis(200 + u64::from(nanos / 1_000) % 400)
}
