//! Every process of a mesh is replaced, one after the other, while customers book at a steady rate: at either gateway, and
//! once more at the other with the same key when a call comes to nothing. No booking may be lost, and none may need more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Answer, Shop};
use crate::everything;
use crate::harness::mesh::{Databases, Mesh, Plan, Service};
use crate::harness::{MESH_BINARY, eventually};
use crate::lane::Lane;

/// Bookings a second, each of two calls; as many as a debug build on two cores can take beside other tests.
const RATE: u32 = 8;
/// The same of a release build, when everything is asked for.
const RATE_ALL: u32 = 50;
/// How long the gateways go on answering after they were asked to stop.
const DRAIN_DELAY: &str = "2s";
/// Letters of a reason that are shown.
const REASON: usize = 160;
/// Time until every booking has ended.
const END: Duration = Duration::from_secs(120);

/// Customers on their way.
struct Traffic {
    gateways: Vec<Shop>,
    event: String,
    area: String,
    over: AtomicBool,
    figures: Mutex<Figures>,
}

#[derive(Default)]
struct Figures {
    calls: usize,
    retries: Vec<String>,
    failures: Vec<String>,
    slowest: Duration,
    paid: usize,
}

/// What a customer does.
enum Call<'a> {
    Hold,
    Pay(&'a str),
}

impl Traffic {
    /// Starts bookings until it is over, and waits for all of them; how many a second it started.
    async fn flow(self: &Arc<Self>, rate: u32) -> f64 {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut customers, mut started) = (JoinSet::new(), 0);
        while !self.over.load(Ordering::SeqCst) {
            tick.tick().await;
            let traffic = self.clone();
            customers.spawn(async move { traffic.book(started).await });
            started += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let started_rate = started as f64 / began.elapsed().as_secs_f64();
        while let Some(ended) = customers.join_next().await {
            ended.unwrap();
        }
        started_rate
    }

    async fn book(&self, n: usize) {
        let user = format!("customer-{n}");
        let Some(held) = self.call(n, &user, Call::Hold).await else { return };
        if self.call(n, &user, Call::Pay(&held.id())).await.is_some_and(|paid| paid.errors.is_empty()) {
            self.figures.lock().unwrap().paid += 1;
        }
    }

    /// Calls one gateway, and the other once more when that came to nothing.
    async fn call(&self, n: usize, user: &str, call: Call<'_>) -> Option<Answer> {
        let began = Instant::now();
        let mut answer = self.ask(n, user, &call).await;
        if let Err(error) = &answer {
            self.figures.lock().unwrap().retries.push(format!("{error:#}"));
            answer = self.ask(n + 1, user, &call).await;
        }
        let mut figures = self.figures.lock().unwrap();
        figures.calls += 1;
        figures.slowest = figures.slowest.max(began.elapsed());
        answer.map_err(|error| figures.failures.push(format!("{user}: {error:#}"))).ok()
    }

    async fn ask(&self, n: usize, user: &str, call: &Call<'_>) -> anyhow::Result<Answer> {
        let gateway = &self.gateways[n % self.gateways.len()];
        match call {
            Call::Hold => gateway.hold_places(user, &self.event, &self.area, 1, "hold").await,
            Call::Pay(booking) => gateway.pay(user, booking, "tok_approve", "pay").await,
        }
    }
}

#[tokio::test]
async fn a_mesh_whose_processes_are_all_replaced_loses_no_booking() {
    let plan = Plan::on(Databases::postgres().await).replicas(2).with("EVENTIX_GATEWAY__DRAIN_DELAY", DRAIN_DELAY);
    let mut lane = Lane::open(plan).await;
    let traffic = Arc::new(Traffic {
        gateways: lane.mesh.nodes_of(Service::Gateway).map(|node| Shop::at(node.addr)).collect(),
        event: lane.event.id.clone(),
        area: lane.hall.area().to_owned(),
        over: AtomicBool::new(false),
        figures: Mutex::default(),
    });
    let full = everything() && std::env::var_os(MESH_BINARY).is_some();
    let (rate, began) = (if full { RATE_ALL } else { RATE }, Instant::now());

    let replacing = async {
        replace_all(&mut lane.mesh).await;
        traffic.over.store(true, Ordering::SeqCst);
    };
    let ((), started_rate) = tokio::join!(Box::pin(replacing), traffic.flow(rate));

    let figures = std::mem::take(&mut *traffic.figures.lock().unwrap());
    figures.show(began.elapsed());
    println!("{started_rate:.1} bookings/s were started");
    assert!(figures.failures.is_empty(), "{:#?}", figures.failures);
    if full {
        assert!(started_rate > 0.9 * f64::from(RATE_ALL), "only {started_rate:.1} bookings/s were started");
    }
    assert!(figures.paid > Service::ALL.len() * 2, "only {} bookings were under way", figures.paid);
    let count = async |which: &str| {
        let sql = format!("SELECT CAST(count(*) AS bigint) AS n FROM bookings {which}");
        usize::try_from(lane.mesh.databases.count(Service::Booking, &sql).await).unwrap()
    };
    eventually("every booking is confirmed", END, async || {
        (count("WHERE state = 'CONFIRMED'").await == figures.paid).then_some(())
    })
    .await;
    assert_eq!(count("").await, figures.paid, "nothing was booked twice, and nothing was forgotten");
    lane.assert_clean("a rolling restart").await;
}

/// Asks each process to stop, and starts it again, the next one only once it is ready.
async fn replace_all(mesh: &mut Mesh) {
    for service in Service::ALL {
        for replica in 0..2 {
            let node = mesh.nodes_of(service).nth(replica).expect("two of each");
            let status = node.stop().await;
            assert!(status.success(), "{} {replica}: {status}", service.name());
            node.start().await;
        }
    }
}

impl Figures {
    fn show(&self, took: Duration) {
        let Self { calls, retries, failures, slowest, paid } = self;
        let (again, failed, seconds) = (retries.len(), failures.len(), took.as_secs_f64());
        println!(
            "rolling restart of 8 processes in {seconds:.0} s: {paid} bookings paid, {calls} calls, {again} tried once more, \
             {failed} failed, slowest {slowest:.1?}"
        );
        for (reason, times) in by_reason(retries) {
            println!("tried once more {times} times: {reason}");
        }
    }
}

/// How often each reason was given, without the numbers in it, which differ from call to call.
fn by_reason(errors: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for error in errors {
        let reason: String = error.chars().filter(|letter| !letter.is_ascii_digit()).take(REASON).collect();
        *counts.entry(reason).or_default() += 1;
    }
    counts
}
