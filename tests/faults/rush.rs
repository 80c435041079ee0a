//! Crowds in front of separate processes: a single seat that everybody wants, and a provider that takes its time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::error::Refused;
use common::grpc::{Caller, MeshChannel};
use common::proto::booking::v1::HoldSeatsRequest;
use common::proto::booking::v1::booking_service_client::BookingServiceClient;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{SAGA, Shop};
use crate::everything;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::harness::provider::Provider;
use crate::harness::proxy::Mood;
use crate::lane::Lane;
use crate::stage;

/// Calls under way at once; more would only queue in front of the same two cores.
const ACTIVE: usize = 64;
/// Bookings paid while the provider sleeps.
const SLOW_PAYERS: usize = 8;
/// Holds timed before.
const TIMED: usize = 20;
/// Between two looks; the event has seats for so many within the time of a saga.
const LOOK: Duration = Duration::from_millis(200);
/// How long the provider sleeps over a question, half of it on the way there and half on the way back.
const SLEEP: Duration = Duration::from_secs(5);
/// Transactions that wait for their client far longer than any work of ours takes, and far shorter than the provider sleeps.
const IDLE: &str = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()
    AND state = 'idle in transaction' AND state_change < clock_timestamp() - interval '1 second'";

/// How a buyer reaches the product.
#[derive(Clone)]
enum Door {
    GraphQl(Box<Shop>),
    Grpc(MeshChannel, Arc<DevIssuer>),
}

impl Door {
    /// Tries to hold a seat; the refusal's code if it is refused, a failed test at anything else.
    async fn hold(&self, user: &str, event: &str, seat: &str) -> Result<(), String> {
        match self {
            Self::GraphQl(shop) => {
                let answer = shop.hold(user, event, &[seat.to_owned()], "rush").await.unwrap();
                if answer.errors.is_empty() { Ok(()) } else { Err(answer.code().to_owned()) }
            }
            Self::Grpc(channel, issuer) => {
                let token = issuer.mint(user, Role::Customer).unwrap();
                let request = HoldSeatsRequest {
                    event_id: event.to_owned(),
                    seat_ids: vec![seat.to_owned()],
                    request_id: "rush".into(),
                    ..HoldSeatsRequest::default()
                };
                let call = Caller::user(&token, Instant::now() + Duration::from_secs(30)).request(request);
                let held = BookingServiceClient::new(channel.clone()).hold_seats(call).await;
                held.map(|_| ()).map_err(|status| Refused::of(&status).reason)
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_buyers_of_one_seat_one_gets_it_and_the_others_are_told_so() {
    let buyers = if everything() { 1_000 } else { 200 };
    let mut lane = Lane::open(Plan::on(Databases::postgres().await).replicas(2)).await;
    let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
    let mut doors: Vec<Door> =
        lane.mesh.nodes_of(Service::Gateway).map(|node| Door::GraphQl(Box::new(Shop::at(node.addr)))).collect();
    for node in lane.mesh.nodes_of(Service::Booking) {
        let channel = MeshChannel::new("booking", [format!("http://{}", node.addr)]).unwrap();
        doors.push(Door::Grpc(channel, issuer.clone()));
    }
    let (seat, active) = (lane.event.seat(), Arc::new(Semaphore::new(ACTIVE)));

    let mut rush = JoinSet::new();
    for n in 0..buyers {
        let (door, event, seat) = (doors[n % doors.len()].clone(), lane.event.id.clone(), seat.clone());
        let active = active.clone();
        rush.spawn(async move {
            let _active = active.acquire().await.unwrap();
            let user = format!("buyer-{n}");
            (door.hold(&user, &event, &seat).await, user)
        });
    }
    let mut winners = Vec::new();
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    for (held, user) in rush.join_all().await {
        match held {
            Ok(()) => winners.push(user),
            Err(code) => *refusals.entry(code).or_default() += 1,
        }
    }

    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(refusals, BTreeMap::from([("SEATS_TAKEN".to_owned(), buyers - 1)]));
    let mine = "{ myBookings(first: 2) { edges { node { id } } } }";
    let listed = lane.shop.data(Some((&winners[0], Role::Customer)), mine, serde_json::json!({})).await;
    let booking = listed["myBookings"]["edges"][0]["node"]["id"].as_str().unwrap();
    stage::pay(&lane.shop, &winners[0], booking, "tok_approve").await;
    lane.shop.until(&winners[0], booking, "CONFIRMED").await;
    assert_eq!(lane.mesh.databases.count(Service::Booking, "SELECT count(*) AS n FROM bookings").await, 1);
    lane.assert_clean("a rush on one seat").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_keeps_no_transaction_open_and_no_buyer_waiting() {
    let databases = Databases::postgres().await;
    let provider = Provider::start_mute(&databases).await;
    let plan = Plan::on(databases).with("EVENTIX_PAYMENT__PROVIDER__TIMEOUT", "60s");
    let lane = Lane::open(provider.used_by(plan)).await;
    let mut before = Vec::new();
    for n in 0..TIMED {
        before.push(timed_hold(&lane, &format!("early-{n}")).await);
    }
    provider.calls.turn(Mood::Slow(SLEEP / 2));
    let mut payers = Vec::new();
    for n in 0..SLOW_PAYERS {
        let (user, seat) = (format!("payer-{n}"), lane.event.seat());
        let booking = stage::hold(&lane.shop, &lane.event, &user, &seat).await;
        stage::pay(&lane.shop, &user, &booking, "tok_approve").await;
        payers.push((user, booking));
    }

    let (began, mut meanwhile) = (Instant::now(), Vec::new());
    while lane.mesh.databases.count(Service::Booking, "SELECT count(*) AS n FROM bookings WHERE state = 'PAYING'").await
        > 0
    {
        meanwhile.push(timed_hold(&lane, &format!("late-{}", meanwhile.len())).await);
        for service in [Service::Booking, Service::Payment] {
            assert_eq!(lane.mesh.databases.count(service, IDLE).await, 0, "{service:?} keeps a transaction open");
        }
        assert!(began.elapsed() < SAGA, "payments do not end");
        tokio::time::sleep(LOOK).await;
    }

    let (before, during) = (median(before), median(meanwhile));
    println!("median hold {before:?} before, {during:?} while the provider sleeps");
    assert!(began.elapsed() > SLEEP * 4 / 5, "the provider did not sleep");
    assert!(during < before * 5 + Duration::from_millis(250), "holds wait for the provider: {before:?}, {during:?}");
    for (user, booking) in payers {
        lane.shop.until(&user, &booking, "CONFIRMED").await;
    }
    lane.assert_clean("a slow provider").await;
}

async fn timed_hold(lane: &Lane, user: &str) -> Duration {
    let (seat, began) = (lane.event.seat(), Instant::now());
    stage::hold(&lane.shop, &lane.event, user, &seat).await;
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
