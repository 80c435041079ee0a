//! Two replicas of every service: they share the leases, follow each other when one stops or dies, and do no harm when one
//! wakes up late. All of it is read off the rows of `leases`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use uuid::Uuid;

use crate::crowd::Crowd;
use crate::harness::eventually;
use crate::harness::mesh::{Databases, Mesh, Plan, Service};
use crate::lane::Lane;
use crate::{everything, report};

/// How long a lease lasts where replicas sleep beyond it.
const SHORT: Duration = Duration::from_secs(3);
/// How long one lasts where they stop: much longer than a hand-over may take, so that only what was given back is taken over
/// in time.
const LEASE: Duration = Duration::from_secs(15);
/// Leases of each kind.
const PER_KIND: usize = 12;
/// All of them.
const WHOLE: RangeInclusive<usize> = PER_KIND..=PER_KIND;
/// 40 to 60 percent of them.
const HALF: RangeInclusive<usize> = 5..=7;
/// Time for a second replica to have its half, from its start on.
const SHARED: Duration = Duration::from_secs(10);
/// Time for the leases of a replica that was asked to stop.
const HANDED_OVER: Duration = Duration::from_secs(5);
/// What a look at a free lease may be late, on a busy machine.
const SLACK: Duration = Duration::from_secs(3);
/// Time for anything at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Services that have leases.
const LEASING: [Service; 3] = [Service::Catalog, Service::Booking, Service::Payment];
/// Services that take in the facts of others.
const CONSUMING: [Service; 2] = [Service::Booking, Service::Payment];

fn two_of_each(databases: Databases, lease: Duration) -> Plan {
    let lease = format!("{}s", lease.as_secs());
    let plan = Plan::on(databases).replicas(2);
    ["CATALOG", "BOOKING", "PAYMENT"]
        .iter()
        .fold(plan, |plan, name| plan.with(&format!("EVENTIX_{name}__LEASE"), &lease))
}

/// How many live leases of each kind every owner has.
async fn shares(mesh: &Mesh, service: Service) -> BTreeMap<String, BTreeMap<String, usize>> {
    let db = mesh.databases.of(service);
    let sql = format!("SELECT owner, name FROM leases WHERE expires_at > {}", db.now_sql());
    let mut shares: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for row in db.query(db.reader(), sql, []).await.unwrap() {
        let (owner, name): (String, String) = (row.try_get("", "owner").unwrap(), row.try_get("", "name").unwrap());
        let kind = name.rsplit_once(':').expect("a kind and a number").0.to_owned();
        *shares.entry(owner).or_default().entry(kind).or_default() += 1;
    }
    shares
}

/// Waits until so many owners have so many leases of every kind, and returns how long after `since` that was.
async fn until_shared(
    mesh: &Mesh,
    service: Service,
    owners: usize,
    each: RangeInclusive<usize>,
    since: Instant,
) -> Duration {
    let what = format!("{owners} owners of the leases of {}, {each:?} of each kind", service.name());
    eventually(&what, PATIENCE, async || {
        let shares = shares(mesh, service).await;
        let fair = shares.values().all(|kinds| kinds.values().all(|count| each.contains(count)));
        let all: usize = shares.values().flat_map(BTreeMap::values).sum();
        let kinds = shares.values().map(BTreeMap::len).max().unwrap_or_default();
        (shares.len() == owners && fair && all == kinds * PER_KIND).then_some(since.elapsed())
    })
    .await
}

/// The sum of all epochs: grows by one with each lease that changes hands.
async fn changes_of_hands(mesh: &Mesh, service: Service) -> i64 {
    mesh.databases.count(service, "SELECT CAST(sum(epoch) AS bigint) AS n FROM leases").await
}

#[tokio::test]
async fn two_replicas_share_the_leases_and_follow_each_other() {
    let mut lane = Lane::open(two_of_each(Databases::postgres().await, LEASE)).await;
    for service in LEASING {
        until_shared(&lane.mesh, service, 2, HALF, Instant::now()).await;
    }

    let Lane { mesh, shop, event, .. } = &mut lane;
    let outcome = Crowd::during(shop, event, "followed", async {
        let (mut handed_over, mut shared) = (Vec::new(), Vec::new());
        for service in LEASING {
            let asked_at = Instant::now();
            mesh.node(service).signal(Signal::TERM);
            handed_over.push(until_shared(mesh, service, 1, WHOLE, asked_at).await);
            assert!(mesh.node(service).end().await.success());

            let started_at = Instant::now();
            mesh.node(service).start().await;
            shared.push(until_shared(mesh, service, 2, HALF, started_at).await);
        }

        let booking = Service::Booking;
        let killed_at = Instant::now();
        mesh.node(booking).kill9().await;
        let taken_over = until_shared(mesh, booking, 1, WHOLE, killed_at).await;
        mesh.node(booking).start().await;
        (handed_over, shared, taken_over)
    });
    let outcome = outcome.await;

    let (handed_over, shared, taken_over) = outcome.fault;
    println!("leases handed over {handed_over:?}, shared {shared:?}, of booking taken over {taken_over:?}");
    assert!(handed_over.iter().all(|took| *took < HANDED_OVER), "handed over in {handed_over:?}");
    assert!(shared.iter().all(|took| *took < SHARED), "shared in {shared:?}");
    assert!(taken_over < LEASE + SLACK, "taken over in {taken_over:?}");
    lane.assert_clean("replicas that stopped and died").await;
}

#[tokio::test]
async fn replicas_that_sleep_beyond_their_leases_do_no_harm_when_they_wake() {
    let seed = Uuid::now_v7().as_u128();
    println!("seed {seed}");
    let mut lane = Lane::open(two_of_each(Databases::postgres().await, SHORT)).await;
    for service in CONSUMING {
        until_shared(&lane.mesh, service, 2, HALF, Instant::now()).await;
    }

    let sleeps = if everything() { 12 } else { 2 };
    for n in 0..sleeps {
        // The low bits of the seed are random, one for each choice.
        let choice = |bit: usize| usize::from(seed >> bit & 1 == 1);
        let (service, replica) = (CONSUMING[choice(n)], choice(n + 16));
        let event = lane.hall.event(&lane.shop).await;
        let Lane { mesh, shop, .. } = &mut lane;
        let outcome = Crowd::during(shop, &event, &format!("sleep-{n}"), sleep(mesh, service, replica)).await;
        report(&format!("{} {replica} asleep", service.name()), outcome.bookings, outcome.converged);
    }

    lane.assert_clean("replicas that slept").await;
}

/// Freezes a replica until the other has all its leases, and wakes it.
async fn sleep(mesh: &mut Mesh, service: Service, replica: usize) {
    let before = changes_of_hands(mesh, service).await;
    mesh.nodes_of(service).nth(replica).expect("two of each").process().freeze().await;
    until_shared(mesh, service, 1, WHOLE, Instant::now()).await;
    assert!(changes_of_hands(mesh, service).await > before, "nothing changed hands");
    mesh.nodes_of(service).nth(replica).expect("two of each").process().thaw();
    until_shared(mesh, service, 2, HALF, Instant::now()).await;
}
