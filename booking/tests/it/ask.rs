//! Waiting states act: the last fact is told again, and payment is asked for its facts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use booking::application::ask::Asker;
use booking::application::saga::PaymentFacts;
use common::bus::Bus;
use common::clock::from_micros;
use common::fact::NewFact;
use common::ids::{BookingId, FactId};
use common::inbox::{Consumer, ConsumerParts, ConsumerSettings, FactSource, HeadsTold};
use common::lease::Leases;
use common::proto::common::v1::FactRecord;
use common::proto::payment::v1::{PaymentAuthorised, PaymentCaptured};
use common::runtime::Shutdown;
use common::testing::TestDb;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::world::World;

const WAITING: Duration = Duration::from_secs(30);

common::on_both_databases!(
    a_paying_booking_that_waits_too_long_asks_and_takes_the_answer,
    uncaptured_bookings_and_open_refunds_ask_too,
    a_booking_is_asked_about_by_one_replica_at_a_time,
    the_asker_runs_until_shutdown_although_payment_is_down,
);

/// Payment's `ListFacts`, told by the test.
#[derive(Default)]
struct FakePayment {
    facts: Mutex<Vec<FactRecord>>,
    asked: Mutex<Vec<Uuid>>,
    down: bool,
}

#[async_trait]
impl FactSource for FakePayment {
    async fn of_aggregate(&self, aggregate: Uuid, after_sequence: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        self.asked.lock().unwrap().push(aggregate);
        anyhow::ensure!(!self.down, "payment is down");
        let skip = usize::try_from(after_sequence)?;
        Ok((self.facts.lock().unwrap().iter().skip(skip).cloned().collect(), false))
    }

    async fn after_position(&self, _: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        anyhow::bail!("not asked in these tests")
    }

    async fn heads(&self, _: &str, _: Duration) -> anyhow::Result<HeadsTold> {
        anyhow::bail!("not asked in these tests")
    }
}

fn asker(world: &World, payment: &Arc<FakePayment>) -> Asker {
    let parts = ConsumerParts {
        db: world.db.clone(),
        bus: Bus::new("127.0.0.1:1"),
        leases: Arc::new(Leases::new(world.db.clone(), "test".into(), WAITING, vec![])),
        handler: Arc::new(PaymentFacts::new(world.store.clone())),
        source: payment.clone(),
        settings: ConsumerSettings::default(),
    };
    let consumer = Consumer::new("booking", "payment", "eventix.payment.v1", parts);
    Asker::new(world.store.clone(), consumer, Duration::from_millis(10), WAITING)
}

async fn publish_all(world: &World) {
    let sql = format!("UPDATE outbox SET published_at = {}", world.db.now_sql());
    world.db.execute(world.db.writer(), sql, []).await.unwrap();
}

async fn unpublished(world: &World, booking: BookingId) -> Vec<String> {
    let sql = "SELECT kind FROM outbox WHERE aggregate_id = $1 AND published_at IS NULL";
    let rows = world.db.query(world.db.reader(), sql, [booking.into()]).await.unwrap();
    rows.iter().map(|row| row.try_get("", "kind").unwrap()).collect()
}

fn wait() -> chrono::Duration {
    chrono::Duration::from_std(WAITING).unwrap()
}

async fn a_paying_booking_that_waits_too_long_asks_and_takes_the_answer(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[]).await;
    let held = world.held(&sale, "bob", &[1], &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    let paying = world.pay("alice", booking).await.unwrap().booking;
    publish_all(&world).await;
    let payment = Arc::new(FakePayment::default());
    let asker = asker(&world, &payment);
    let (booking_id, amount) = (booking.to_string(), Some(paying.total.into()));
    let told = NewFact::of(booking.0, 1, &PaymentAuthorised { booking_id, attempt: 1, amount });
    let value = told.envelope(FactId::new(), from_micros(0)).into();
    payment.facts.lock().unwrap().push(FactRecord { value, headers: vec![] });

    assert_eq!(asker.round().await.unwrap(), 0, "nothing waits that long yet");
    world.pass(wait());
    assert_eq!(asker.round().await.unwrap(), 1);

    assert_eq!(*payment.asked.lock().unwrap(), [booking.0]);
    assert_eq!(world.state(booking).await, "CONFIRMED");
    assert_eq!(world.state(held).await, "HELD");
    let told_again = unpublished(&world, booking).await;
    assert_eq!(told_again, ["eventix.booking.v1.PaymentRequested", "eventix.booking.v1.BookingConfirmed"]);
    world.audit().await;
}

async fn uncaptured_bookings_and_open_refunds_ask_too(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(3, &[]).await;
    let uncaptured = world.confirmed(&sale, "alice", &[0], &[]).await;
    let captured = world.confirmed(&sale, "bob", &[1], &[]).await;
    let booking_id = captured.to_string();
    world.told(captured, &PaymentCaptured { booking_id, attempt: 1, amount: None }).await.unwrap();
    let refunding = world.confirmed(&sale, "carol", &[2], &[]).await;
    world.cancel("carol", refunding).await.unwrap();
    publish_all(&world).await;
    let payment = Arc::new(FakePayment::default());

    world.pass(wait());
    assert_eq!(asker(&world, &payment).round().await.unwrap(), 2);

    assert_eq!(*payment.asked.lock().unwrap(), [uncaptured.0, refunding.0]);
    assert_eq!(unpublished(&world, uncaptured).await, ["eventix.booking.v1.BookingConfirmed"]);
    assert_eq!(unpublished(&world, refunding).await, ["eventix.booking.v1.RefundRequested"]);
    assert!(unpublished(&world, captured).await.is_empty());
}

async fn a_booking_is_asked_about_by_one_replica_at_a_time(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pay("alice", booking).await.unwrap();
    world.pass(wait());

    assert_eq!(world.store.waiting(wait()).await.unwrap(), [booking]);
    assert!(world.store.note_asked(booking, wait()).await.unwrap());
    assert!(!world.store.note_asked(booking, wait()).await.unwrap());
    assert!(world.store.waiting(wait()).await.unwrap().is_empty());
    world.pass(wait());
    assert_eq!(world.store.waiting(wait()).await.unwrap(), [booking], "and again, as long as it waits");
}

async fn the_asker_runs_until_shutdown_although_payment_is_down(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(1, &[]).await;
    let booking = world.held(&sale, "alice", &[0], &[]).await;
    world.pay("alice", booking).await.unwrap();
    publish_all(&world).await;
    world.pass(wait());
    let payment = Arc::new(FakePayment { down: true, ..FakePayment::default() });
    let shutdown = Shutdown::new();
    let mut running = JoinSet::new();
    running.spawn(asker(&world, &payment).run(shutdown.clone()));

    for _ in 0..500 {
        if !payment.asked.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    assert_eq!(*payment.asked.lock().unwrap(), [booking.0]);
    assert_eq!(unpublished(&world, booking).await, ["eventix.booking.v1.PaymentRequested"]);
    shutdown.cancel();
    assert!(running.join_next().await.unwrap().unwrap().is_ok());
}
