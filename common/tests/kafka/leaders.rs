//! Three nodes, and the leader of a partition killed or frozen under load: nothing acknowledged is lost, nothing takes
//! effect twice or out of order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::bus::{Bus, Incoming, Outgoing};
use common::outbox::partition_of;
use common::tables::PARTITIONS;
use common::testing::TestDb;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::contract::BrokerUnderTest;
use crate::world::{World, aggregate_in, eventually, fact};

/// Nobody waits longer for an acknowledgement: a call that fails, one that finds the new leader, and the election.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const KEYS: [&str; 4] = ["a", "b", "c", "d"];

/// What producers were told, in the order in which they were told it.
#[derive(Default)]
struct Load {
    enough: AtomicBool,
    acknowledged: Mutex<Vec<(i64, &'static str, u32)>>,
    failures: AtomicUsize,
    longest_wait: Mutex<Duration>,
}

impl Load {
    /// One record after the other, each again and again until it is acknowledged, as a relay does.
    async fn produce(&self, bus: &Bus, topic: &str, key: &'static str) {
        let producer = bus.producer(topic);
        for n in 0_u32.. {
            if self.enough.load(Ordering::SeqCst) {
                return;
            }
            let began = Instant::now();
            let offset = loop {
                let record = Outgoing { key: key.into(), value: n.to_be_bytes().into(), headers: BTreeMap::new() };
                match producer.produce(0, vec![record]).await {
                    Ok(offsets) => break offsets[0],
                    Err(_) => self.failures.fetch_add(1, Ordering::SeqCst),
                };
            };
            self.acknowledged.lock().unwrap().push((offset, key, n));
            let mut longest = self.longest_wait.lock().unwrap();
            *longest = longest.max(began.elapsed());
        }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until much more is acknowledged than now.
    async fn goes_on(&self) {
        let before = self.count();
        eventually("more is acknowledged", async || (self.count() > before + 100).then_some(())).await;
    }
}

/// Reads a partition from its start as far as wanted, opening it anew after each failure.
async fn read(bus: &Bus, topic: &str, until: impl Fn(i64) -> bool) -> Vec<Incoming> {
    let mut found: Vec<Incoming> = Vec::new();
    let next = |found: &[Incoming]| found.last().map_or(0, |r| r.offset + 1);
    while !until(next(&found)) {
        let Ok(log) = bus.open(topic, 0).await else { continue };
        while !until(next(&found)) {
            let Ok(records) = log.fetch(next(&found), Duration::from_millis(200)).await else { break };
            found.extend(records);
        }
    }
    found
}

#[tokio::test]
async fn a_killed_leader_takes_nothing_acknowledged_with_it() {
    let cluster = Cluster::met().await;
    let (bus, topic) = (cluster.bus(), cluster.topic("killed"));
    cluster.make_replicated(&topic, 1).await;
    let load = Load::default();
    let end = Mutex::new(None);

    let strikes = async {
        for _ in 0..2 {
            load.goes_on().await;
            let leader = cluster.leader(&topic, 0).await;
            cluster.kill(leader);
            cluster.until_led_by_another(&topic, 0, leader).await;
            load.goes_on().await;
            cluster.until_in_sync(&topic, 0).await;
        }
        load.enough.store(true, Ordering::SeqCst);
    };
    let producing = join_all(KEYS.map(|key| load.produce(&bus, &topic, key)));
    let producing = async {
        tokio::join!(producing, strikes);
        *end.lock().unwrap() = Some(bus.open(&topic, 0).await.unwrap().range().await.unwrap().1);
    };
    let reading = read(&bus, &topic, |next| end.lock().unwrap().is_some_and(|end| next >= end));
    let (found, ()) = tokio::join!(reading, producing);

    let (waited, failed) = (*load.longest_wait.lock().unwrap(), load.failures.load(Ordering::SeqCst));
    let repeated = found.len() - load.count();
    println!("{} acknowledged, {repeated} more on the log, {failed} failed calls, at most {waited:?}", load.count());
    assert_all_there(&found, &load.acknowledged.lock().unwrap());
    let again = read(&bus, &topic, |next| next > found.last().unwrap().offset).await;
    assert_eq!(found, again, "what was read during it all is what stands there now");
    assert!(waited < LONGEST_WAIT, "{waited:?}");
}

fn assert_all_there(found: &[Incoming], acknowledged: &[(i64, &'static str, u32)]) {
    let at: BTreeMap<i64, &Incoming> = found.iter().map(|r| (r.offset, r)).collect();
    for (offset, key, n) in acknowledged {
        let record = at.get(offset).unwrap_or_else(|| panic!("{key} {n} was acknowledged at {offset} and is lost"));
        assert_eq!(
            (record.key.as_deref(), record.value.as_slice()),
            (Some(key.as_bytes()), n.to_be_bytes().as_slice())
        );
    }
    for key in KEYS {
        let own = found.iter().filter(|r| r.key.as_deref() == Some(key.as_bytes()));
        let mut newest = None;
        for n in own.map(|r| u32::from_be_bytes(r.value.as_slice().try_into().unwrap())) {
            assert!(n <= newest.map_or(0, |n: u32| n + 1), "{key} {n} came before what it follows");
            newest = newest.max(Some(n));
        }
    }
}

#[tokio::test]
async fn facts_take_effect_once_and_in_order_though_their_leader_is_killed() {
    struck_in_the_middle("facts-killed", async |cluster, topic, leader| {
        cluster.kill(leader);
        cluster.until_led_by_another(topic, 0, leader).await;
    })
    .await;
}

#[tokio::test]
async fn facts_take_effect_once_and_in_order_though_their_leader_freezes() {
    struck_in_the_middle("facts-frozen", async |cluster, topic, leader| {
        cluster.freeze_node(leader);
        tokio::time::sleep(Duration::from_secs(12)).await;
        let now = cluster.until_led_by_another(topic, 0, leader).await;
        cluster.thaw_node(leader);
        assert_ne!(now, leader);
    })
    .await;
}

async fn struck_in_the_middle(name: &str, strike: impl AsyncFnOnce(&Cluster, &str, i32)) {
    let cluster = Cluster::met().await;
    let topic = cluster.lasting_topic(name);
    cluster.make_replicated(topic, PARTITIONS).await;
    let mut world = World::on(TestDb::sqlite().await, &cluster.brokers, topic).await;
    world.run();
    // One at least in the partition whose leader is struck.
    let mut aggregates: Vec<Uuid> = (0..7).map(|_| Uuid::now_v7()).collect();
    aggregates.push(aggregate_in(0));
    let struck = AtomicBool::new(false);

    let telling = async {
        let mut last = 0;
        while !struck.load(Ordering::SeqCst) || last < 60 {
            last += 1;
            for aggregate in &aggregates {
                world.tell(&[fact(*aggregate, last, "x")]).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last
    };
    let striking = async {
        eventually("facts flow", async || (world.effects_of(aggregates[7]).await.len() >= 20).then_some(())).await;
        let leader = cluster.leader(topic, 0).await;
        strike(&cluster, topic, leader).await;
        struck.store(true, Ordering::SeqCst);
    };
    let (last, ()) = tokio::join!(telling, striking);

    for aggregate in &aggregates {
        world.until_effects(*aggregate, &(1..=last).collect::<Vec<_>>()).await;
    }
    world.read_to_end().await;
    let facts = last * i64::try_from(aggregates.len()).unwrap();
    assert_eq!(world.count("effects").await, facts);
    assert_eq!(world.count("dead_letters").await + world.count("parked").await, 0);
    assert_eq!(world.count("consumer_offsets WHERE incarnation <> 1").await, 0, "another leader is not another log");
    let partitions: BTreeSet<i32> = aggregates.iter().map(|id| partition_of(*id)).collect();
    let mut on_log = 0;
    for partition in partitions {
        on_log += i64::try_from(world.log(partition).await.len()).unwrap();
        cluster.until_in_sync(topic, partition).await;
    }
    println!("{facts} facts, {on_log} records on the log");
    world.halt().await;
}
