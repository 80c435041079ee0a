//! The log's records doubled, shuffled and lost, and records in it that are no facts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::bus::{Bus, Incoming, Outgoing};
use common::fact::{Fact, NewFact};
use common::failpoint::{Moment, Point, Step, Strike};
use common::ids::FactId;
use common::tables::PARTITIONS;
use common::telemetry::Carrier;
use uuid::Uuid;

use crate::flows::Flow;
use crate::harness::mesh::{Databases, Mesh, Plan, Service};
use crate::harness::{eventually, text};
use crate::lane::{Lane, hasty, impatient};
use crate::steps::FACTS;
use crate::{everything, report, stage};

const TOPICS: [&str; 3] = ["eventix.catalog.v1", "eventix.booking.v1", "eventix.payment.v1"];
const BOOKINGS: usize = 20;
/// Longest time until something that is told again has been taken in.
const TAKEN: Duration = Duration::from_secs(60);
/// Longest wait of one fetch here.
const FETCH: Duration = Duration::from_millis(50);

/// A topic's records by partition.
type Records = BTreeMap<i32, Vec<Incoming>>;

async fn read_all(bus: &Bus, topic: &str) -> Records {
    let mut records = Records::new();
    for partition in 0..PARTITIONS {
        let log = bus.open(topic, partition).await.unwrap();
        let (mut next, end) = log.range().await.unwrap();
        let read = records.entry(partition).or_default();
        while next < end {
            let fetched = log.fetch(next, FETCH).await.unwrap();
            next += i64::try_from(fetched.len()).unwrap();
            read.extend(fetched);
        }
    }
    records
}

async fn produce(bus: &Bus, topic: &str, records: &Records) {
    let producer = bus.producer(topic);
    for (partition, records) in records {
        let again = |record: &Incoming| Outgoing {
            key: record.key.clone().unwrap_or_default(),
            value: record.value.clone(),
            headers: record.headers.clone(),
        };
        producer.produce(*partition, records.iter().map(again).collect()).await.unwrap();
    }
}

fn count(records: &Records) -> usize {
    records.values().map(Vec::len).sum()
}

/// How many facts a consumer has taken in this way (`Applied`, `Dropped`, `Parked`, `DeadLettered`) since it started.
async fn taken(mesh: &mut Mesh, service: Service, way: &str) -> u64 {
    let text = mesh.node(service).metrics().await;
    let counts = text.lines().filter(|line| {
        line.starts_with("eventix_request_duration") && line.contains("_count") && line.contains(r#"kind="fact""#)
    });
    let counts = counts.filter(|line| line.contains(&format!(r#"code="{way}""#)));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn until_taken(mesh: &mut Mesh, service: Service, way: &str, at_least: u64) {
    let what = format!("{} has {way} {at_least} facts", service.name());
    let until = Instant::now() + TAKEN;
    while taken(mesh, service, way).await < at_least {
        assert!(Instant::now() < until, "{what} did not happen: {}", taken(mesh, service, way).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_record_delivered_three_times_takes_effect_once() {
    let mut usual = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    let mut short = Lane::open(hasty(Plan::on(Databases::postgres().await))).await;
    let flows: BTreeSet<Flow> = FACTS.iter().map(|fact| fact.flow).collect();
    let (hurried, calm): (Vec<_>, Vec<_>) = flows.into_iter().partition(|flow| flow.needs_short_holds());

    let (told, told_in_short) =
        tokio::join!(Box::pin(deliver_thrice(&mut usual, &calm)), Box::pin(deliver_thrice(&mut short, &hurried)));

    let kinds: BTreeSet<String> = told.into_iter().chain(told_in_short).collect();
    assert_eq!(kinds, FACTS.iter().map(|fact| fact.kind.to_owned()).collect());
}

/// Runs courses, and delivers every record of theirs two more times; returns their kinds.
async fn deliver_thrice(lane: &mut Lane, flows: &[Flow]) -> BTreeSet<String> {
    let began = Instant::now();
    for flow in flows {
        lane.run(*flow, &format!("thrice-{flow:?}")).await;
    }
    let bus = Bus::new(&lane.mesh.broker.addr.to_string());
    let dropped = async |lane: &mut Lane, service| taken(&mut lane.mesh, service, "Dropped").await;
    let before = [dropped(lane, Service::Booking).await, dropped(lane, Service::Payment).await];

    let (mut told, mut kinds) = ([0, 0], BTreeSet::new());
    for topic in TOPICS {
        let records = read_all(&bus, topic).await;
        let facts = records.values().flatten().map(|record| Fact::decode(&record.value, Carrier::new()).unwrap());
        kinds.extend(facts.map(|fact| fact.kind));
        let taker = usize::from(topic == "eventix.booking.v1");
        told[taker] += 2 * u64::try_from(count(&records)).unwrap();
        for _ in 0..2 {
            produce(&bus, topic, &records).await;
        }
    }

    until_taken(&mut lane.mesh, Service::Booking, "Dropped", before[0] + told[0]).await;
    until_taken(&mut lane.mesh, Service::Payment, "Dropped", before[1] + told[1]).await;
    lane.run(Flow::Paid, "thrice-after").await;
    lane.assert_clean("every record three times").await;
    report(&format!("{} records delivered two more times", told[0] + told[1]), flows.len(), began.elapsed());
    kinds
}

/// Consumers that have read nothing yet meet a log whose records were shuffled and doubled.
#[tokio::test]
async fn facts_out_of_order_take_effect_in_order() {
    let mut lane = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    let began = Instant::now();
    lane.mesh.node(Service::Payment).kill9().await;
    let mut bookings = Vec::new();
    for n in 0..BOOKINGS {
        let user = format!("shuffled-{n}");
        let booking = stage::hold(&lane.shop, &lane.event, &user, &lane.event.seat()).await;
        stage::pay(&lane.shop, &user, &booking, "tok_approve").await;
        bookings.push((user, booking));
    }

    reorder(&mut lane.mesh, "eventix.booking.v1", 2 * BOOKINGS).await;
    lane.mesh.node(Service::Payment).start().await;
    until_taken(&mut lane.mesh, Service::Payment, "Parked", 1).await;
    until_taken(&mut lane.mesh, Service::Payment, "Dropped", 1).await;

    for (user, booking) in &bookings {
        lane.shop.until(user, booking, "CONFIRMED").await;
        lane.shop.until_payment(user, booking, "CAPTURED").await;
    }
    lane.assert_clean("facts reordered").await;
    report("facts reordered and doubled", BOOKINGS, began.elapsed());
}

/// Waits until a topic has this many records, and replaces the log by one in which they stand backwards, twice.
async fn reorder(mesh: &mut Mesh, topic: &str, records: usize) {
    let bus = Bus::new(&mesh.broker.addr.to_string());
    let mut told = eventually("all facts are on the log", TAKEN, async || {
        let told = read_all(&bus, topic).await;
        (count(&told) >= records).then_some(told)
    })
    .await;
    for records in told.values_mut() {
        records.reverse();
        records.extend(records.clone());
    }
    mesh.broker.kill().await;
    mesh.broker.lose_data();
    mesh.broker.resume().await;
    bus.ensure_topic(topic, PARTITIONS).await.unwrap();
    produce(&bus, topic, &told).await;
}

/// A fact of a kind that nobody knows, in an envelope that is as it should be.
fn unknown_kind() -> Vec<u8> {
    let fact = NewFact {
        aggregate_id: Uuid::now_v7(),
        sequence: 1,
        kind: "eventix.future.v9.Unheard".into(),
        data: Default::default(),
    };
    fact.envelope(FactId::new(), chrono::Utc::now())
}

#[tokio::test]
async fn poison_is_put_aside_and_everything_else_goes_on() {
    let lane = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    let began = Instant::now();
    let bus = Bus::new(&lane.mesh.broker.addr.to_string());
    let record = |key: &str, value: Vec<u8>| Outgoing { key: key.into(), value, headers: Default::default() };
    let noise: Vec<u8> = (0..997_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let poison = [
        record("random bytes", noise.clone()),
        record("unknown type", unknown_kind()),
        record("", noise),
        record("one mebibyte", vec![0xa5; 1024 * 1024 - 512]),
    ];

    for topic in TOPICS {
        for (partition, record) in (0..).zip(&poison) {
            bus.producer(topic).produce(partition, vec![record.clone()]).await.unwrap();
        }
    }

    // Booking reads two of the topics.
    until_dead_letters(&lane.mesh, Service::Booking, 8).await;
    until_dead_letters(&lane.mesh, Service::Payment, 4).await;
    lane.run(Flow::Cancelled, "poisoned").await;
    discard_one_by_one(&lane.mesh).await;
    lane.assert_clean("poison").await;
    report("twelve poison records", 1, began.elapsed());
}

async fn until_dead_letters(mesh: &Mesh, service: Service, wanted: i64) {
    let sql = "SELECT CAST(count(*) AS bigint) AS n FROM dead_letters WHERE status = 'open'";
    eventually(&format!("{wanted} dead letters of {}", service.name()), TAKEN, async || {
        (mesh.databases.count(service, sql).await == wanted).then_some(())
    })
    .await;
}

/// As a person does: `eventix dead-letters list`, and a decision about each.
async fn discard_one_by_one(mesh: &Mesh) {
    let listed = mesh.command(&["dead-letters", "list"]).await;
    let listed = text(&listed.stdout);
    let open: Vec<&str> = listed.lines().filter(|line| line.contains(" open ")).collect();
    assert_eq!(open.len(), 12, "{listed}");
    for letter in open {
        let id = letter.split_whitespace().next().unwrap();
        let decided = mesh.command(&["dead-letters", "discard", id]).await;
        assert!(decided.status.success(), "{letter}: {}", text(&decided.stderr));
    }
    until_dead_letters(mesh, Service::Booking, 0).await;
    until_dead_letters(mesh, Service::Payment, 0).await;
}

/// The relay counts a fact as published that the log never got.
#[tokio::test]
async fn each_fact_that_the_log_lost_once_is_told_again() {
    let mut usual = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    let mut short = Lane::open(hasty(Plan::on(Databases::postgres().await))).await;
    let some = if everything() { FACTS.len() } else { 4 };
    for (n, fact) in FACTS.iter().take(some).enumerate() {
        let lane = if fact.flow.needs_short_holds() { &mut short } else { &mut usual };
        let began = Instant::now();
        let point = Point::new(Step::Publish, Moment::Instead, fact.kind);
        lane.mesh.node(fact.teller).failpoints.arm(&point, Strike::Lose).unwrap();

        lane.run(fact.flow, &format!("lost-{n}")).await;

        assert!(lane.mesh.node(fact.teller).failpoints.has_struck(&point), "{} was not lost", fact.kind);
        lane.assert_clean(&format!("{} lost", fact.kind)).await;
        report(&format!("{} lost", fact.kind), 1, began.elapsed());
    }
}
