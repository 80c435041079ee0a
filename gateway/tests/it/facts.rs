//! Catalog's facts from the log renew what is kept, whoever made the change and whatever happened to the log meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use common::bus::{Bus, Outgoing};
use common::clock::{Clock, SystemClock};
use common::fact::NewFact;
use common::ids::FactId;
use common::outbox::partition_of;
use common::proto::catalog::v1::EventChanged;
use common::tables::PARTITIONS;
use devbroker::Running;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::world::{World, event, eventually, id};

const TOPIC: &str = "eventix.catalog.v1";
/// Longer than any test: what is seen earlier was told by a fact.
const AGES: Duration = Duration::from_secs(3600);
const SEARCH: &str = "{ events { edges { node { title } } } }";

/// The development broker, on one port through its restarts.
struct Broker {
    address: SocketAddr,
    logs: u32,
    folder: TempDir,
    running: Option<(Running, oneshot::Sender<()>)>,
}

impl Broker {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut broker = Self { address: "127.0.0.1:0".parse().unwrap(), logs: 0, folder, running: None };
        broker.resume().await;
        broker
    }

    async fn resume(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let data = self.folder.path().join(format!("log-{}", self.logs));
        let config = devbroker::Config { listen: self.address, data, advertised: None };
        let running = devbroker::serve(config, async { drop(stopped.await) }).await.unwrap();
        self.address = running.addr;
        self.running = Some((running, stop));
        self.bus().ensure_topic(TOPIC, PARTITIONS).await.unwrap();
    }

    async fn stop(&mut self) {
        let (running, stop) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.stopped().await.unwrap();
    }

    /// Comes back without anything it had.
    async fn resume_without_data(&mut self) {
        self.logs += 1;
        self.resume().await;
    }

    fn bus(&self) -> Bus {
        Bus::new(&self.address.to_string())
    }

    /// Tells that event `n` was changed.
    async fn tell(&self, n: u32, sequence: i64) {
        let event: Uuid = id(n).parse().unwrap();
        let fact = NewFact::of(event, sequence, &EventChanged { event_id: id(n), offer_version: 2 });
        self.append(event, fact.envelope(FactId::new(), SystemClock.now())).await;
    }

    async fn append(&self, key: Uuid, value: Vec<u8>) {
        let record = Outgoing { key: key.to_string().into(), value, headers: Default::default() };
        self.bus().producer(TOPIC).produce(partition_of(key), vec![record]).await.unwrap();
    }
}

async fn world(broker: &Broker) -> World {
    let brokers = broker.address.to_string();
    let world = World::with(true, |config| {
        config.brokers = brokers;
        config.cache.staleness = AGES;
    })
    .await;
    world.script.events.lock().unwrap().extend([event(1), event(2)]);
    world
}

fn rename(world: &World, n: u32, title: &str) {
    world.script.events.lock().unwrap().iter_mut().find(|event| event.id == id(n)).unwrap().title = title.into();
}

async fn title(world: &World, n: u32) -> Value {
    world.browse(&format!(r#"{{ event(id: "{}") {{ title }} }}"#, id(n))).await["data"]["event"]["title"].take()
}

async fn first_found(world: &World) -> Value {
    world.browse(SEARCH).await["data"]["events"]["edges"][0]["node"]["title"].take()
}

/// Tells again and again until it is seen: a gateway that has just started reads from the log's end.
async fn told_until_seen(broker: &Broker, world: &World, n: u32, wanted: &str) {
    let sequence = std::cell::Cell::new(0);
    eventually("the change is seen", async || {
        sequence.set(sequence.get() + 1);
        broker.tell(n, sequence.get()).await;
        title(world, n).await == wanted
    })
    .await;
}

#[tokio::test]
async fn a_change_that_is_told_is_seen_in_events_and_searches_and_nothing_else_is_read_again() {
    let broker = Broker::start().await;
    let world = world(&broker).await;
    title(&world, 1).await;
    rename(&world, 1, "Renamed");
    told_until_seen(&broker, &world, 1, "Renamed").await;
    assert_eq!((title(&world, 2).await, first_found(&world).await), ("Event 2".into(), "Renamed".into()));

    rename(&world, 1, "Again");
    rename(&world, 2, "Untold");
    broker.tell(1, 100).await;

    eventually("the event is read again", async || title(&world, 1).await == "Again").await;
    eventually("the search is done again", async || first_found(&world).await == "Again").await;
    assert_eq!(title(&world, 2).await, "Event 2");
}

#[tokio::test]
async fn what_is_told_while_the_log_is_away_is_seen_when_it_is_back() {
    let mut broker = Broker::start().await;
    let world = world(&broker).await;
    title(&world, 1).await;
    rename(&world, 1, "Renamed");
    told_until_seen(&broker, &world, 1, "Renamed").await;

    broker.stop().await;
    let changes = std::cell::Cell::new(0);
    let latest = || format!("Meanwhile {}", changes.get());
    eventually("nothing tells the gateway any more", async || {
        let before = title(&world, 1).await;
        changes.set(changes.get() + 1);
        rename(&world, 1, &latest());
        title(&world, 1).await == before
    })
    .await;
    broker.resume().await;

    eventually("the gateway reads again", async || title(&world, 1).await == latest()).await;
}

#[tokio::test]
async fn another_log_in_place_of_the_old_one_is_noticed_and_followed() {
    let mut broker = Broker::start().await;
    let world = world(&broker).await;
    title(&world, 1).await;
    rename(&world, 1, "Renamed");
    told_until_seen(&broker, &world, 1, "Renamed").await;

    broker.stop().await;
    rename(&world, 1, "Meanwhile");
    broker.resume_without_data().await;
    eventually("the gateway reads again", async || title(&world, 1).await == "Meanwhile").await;

    rename(&world, 1, "Later");
    told_until_seen(&broker, &world, 1, "Later").await;
}

#[tokio::test]
async fn a_record_that_is_no_fact_makes_everything_doubtful_and_stops_nothing() {
    let broker = Broker::start().await;
    let world = world(&broker).await;
    title(&world, 1).await;
    rename(&world, 1, "Renamed");
    told_until_seen(&broker, &world, 1, "Renamed").await;
    title(&world, 2).await;
    rename(&world, 2, "Untold");

    broker.append(id(1).parse().unwrap(), b"\xff\xffno fact".to_vec()).await;
    eventually("the other event is read again", async || title(&world, 2).await == "Untold").await;

    rename(&world, 1, "Later");
    broker.tell(1, 101).await;
    eventually("facts are still followed", async || title(&world, 1).await == "Later").await;
}
