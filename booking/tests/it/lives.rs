//! Whole lives of seats: sold, cancelled, sold again; ended from several sides at once; and with every fact of payment told
//! several times, out of order and days late.

use std::sync::{Arc, Mutex};
use std::time::Duration as Patience;

use async_trait::async_trait;
use booking::application::saga::PaymentFacts;
use chrono::Duration;
use common::bus::Bus;
use common::clock::from_micros;
use common::fact::NewFact;
use common::ids::{BookingId, FactId};
use common::inbox::{Consumer, ConsumerParts, ConsumerSettings, FactSource, HeadsTold};
use common::lease::Leases;
use common::money::Money;
use common::proto::catalog::v1::EventCancelled;
use common::proto::common::v1::FactRecord;
use common::proto::payment::v1::{PaymentAuthorised, PaymentCaptured, PaymentDeclined, PaymentRefunded, PaymentVoided};
use common::testing::{TestDb, everything};
use prost::{Message, Name};
use tokio::task::JoinSet;
use uuid::Uuid;

use booking::infrastructure::store::HistoryPage;

use crate::sale::{SEAT_PRICE, Sale};
use crate::world::{GRACE, HOLD, World};

common::on_both_databases!(
    a_seat_is_sold_cancelled_resold_and_cancelled_again_with_every_count_right,
    of_two_cancellations_at_once_one_gives_the_seats_and_the_money_back,
    a_booking_that_ends_from_several_sides_at_once_gives_its_seats_back_once,
    facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end,
);

async fn a_seat_is_sold_cancelled_resold_and_cancelled_again_with_every_count_right(db: TestDb) {
    let world = World::new(db).await;
    let sale = world.sale(2, &[3]).await;

    let first = world.confirmed(&sale, "alice", &[0], &[2]).await;
    world.cancel("alice", first).await.unwrap();
    assert_eq!(counts(&world, &sale).await, (0, 0, 0));
    let second = world.confirmed(&sale, "bob", &[0], &[3]).await;
    assert_eq!(counts(&world, &sale).await, (1, 3, 4));
    world.cancel("bob", second).await.unwrap();
    let third = world.confirmed(&sale, "carol", &[0, 1], &[1]).await;
    world.refund(third, &[0], None).await.unwrap();
    assert_eq!(counts(&world, &sale).await, (1, 1, 2));
    world.refund(third, &[], None).await.unwrap();

    assert_eq!(counts(&world, &sale).await, (0, 0, 0));
    let rows = world.store.seat_history(sale.event, sale.seats[0], HistoryPage { after: 0, limit: 100 }).await.unwrap();
    let ends: Vec<_> = rows.iter().filter(|row| ["cancel", "refund"].contains(&row.cause.as_str())).collect();
    let ended: Vec<_> = ends.iter().map(|row| (row.booking_id, row.cause.as_str(), row.to.as_str())).collect();
    let expected = [(first, "cancel", "CANCELLED"), (second, "cancel", "CANCELLED"), (third, "refund", "CONFIRMED")];
    assert_eq!(ended, expected, "carol's seat ended with its refund, not with her booking");
    assert_eq!(rows.iter().filter(|row| row.from.is_empty()).count(), 3);
    world.audit().await;
}

/// Seat claims, places counted, and places sold as availability tells.
async fn counts(world: &World, sale: &Sale) -> (i64, i64, u32) {
    let seats = "SELECT count(*) FROM seat_claims WHERE event_id = $1";
    let told = world.store.availabilities(&[sale.event]).await.unwrap()[&sale.event];
    (world.count(seats, [sale.event.into()]).await, world.taken(sale, 0).await, told.sold)
}

async fn of_two_cancellations_at_once_one_gives_the_seats_and_the_money_back(db: TestDb) {
    let world = World::crowded(db, 4).await;
    let sale = world.sale(1, &[2]).await;
    for _ in 0..10 {
        let booking = world.confirmed(&sale, "alice", &[0], &[2]).await;

        let (first, second) = tokio::join!(world.cancel("alice", booking), world.cancel("alice", booking));

        assert_ne!(first.is_ok(), second.is_ok());
        assert_eq!(world.refunds(booking).await.len(), 1);
        assert_eq!(counts(&world, &sale).await, (0, 0, 0));
    }
    world.audit().await;
}

async fn a_booking_that_ends_from_several_sides_at_once_gives_its_seats_back_once(db: TestDb) {
    let world = Arc::new(World::crowded(db, 8).await);
    for n in 0..8 {
        let sale = world.sale(1, &[2]).await;
        let paying = world.held(&sale, "alice", &[0], &[2]).await;
        world.pay("alice", paying).await.unwrap();
        world.pass(HOLD + GRACE);
        if n % 2 == 1 {
            let told = EventCancelled { event_id: sale.event.to_string(), offer_version: 1 };
            world.catalog_told(sale.event, &told).await.unwrap();
        }
        let mut ends = JoinSet::new();
        for side in 0..6 {
            let world = world.clone();
            ends.spawn(async move {
                match side % 3 {
                    0 => drop(world.sweep().await),
                    1 => world.declined(paying, 1).await,
                    _ => drop(world.cancel("alice", paying).await),
                }
            });
        }
        ends.join_all().await;
        world.sweep().await;

        assert!(["EXPIRED", "CANCELLED"].contains(&world.state(paying).await));
        let ended = world.facts(paying).await.split_off(2);
        assert_eq!(ended.len(), 1, "told to have ended once: {ended:?}");
        assert_eq!(counts(&world, &sale).await, (0, 0, 0));
        world.audit().await;
    }
}

/// How payment's facts come: once, in order; or several times, in any order.
#[derive(Clone, Copy)]
enum Telling {
    Plain,
    Noisy(u64),
}

/// Payment's `ListFacts`, as untidy as a log can be.
struct UntidyPayment {
    facts: Mutex<Vec<FactRecord>>,
    random: Option<Mutex<u64>>,
}

impl UntidyPayment {
    /// 1 to 5 copies of everything told so far, shuffled.
    fn told(&self) -> Vec<FactRecord> {
        let facts = self.facts.lock().unwrap().clone();
        let Some(random) = &self.random else { return facts };
        let mut random = random.lock().unwrap();
        let mut below = |limit: usize| {
            // Knuth's constants; its high bits are random enough to shuffle by.
            *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(*random >> 33).unwrap() % limit
        };
        let mut told: Vec<FactRecord> = facts.iter().flat_map(|fact| vec![fact.clone(); 1 + below(5)]).collect();
        for at in (1..told.len()).rev() {
            told.swap(at, below(at + 1));
        }
        told
    }
}

#[async_trait]
impl FactSource for UntidyPayment {
    async fn of_aggregate(&self, _: Uuid, _: i64) -> anyhow::Result<(Vec<FactRecord>, bool)> {
        // "More" as long as it brings news: the next page is another shuffle.
        Ok((self.told(), true))
    }

    async fn after_position(&self, _: i64) -> anyhow::Result<(Vec<FactRecord>, i64, bool)> {
        anyhow::bail!("not asked in these tests")
    }

    async fn heads(&self, _: &str, _: Patience) -> anyhow::Result<HeadsTold> {
        anyhow::bail!("not asked in these tests")
    }
}

/// One booking's payment, told to booking through its inbox.
struct Payment<'a> {
    world: &'a World,
    booking: BookingId,
    source: Arc<UntidyPayment>,
    consumer: Arc<Consumer>,
}

impl<'a> Payment<'a> {
    fn of(world: &'a World, booking: BookingId, telling: Telling) -> Self {
        let random = match telling {
            Telling::Plain => None,
            Telling::Noisy(seed) => Some(Mutex::new(seed)),
        };
        let source = Arc::new(UntidyPayment { facts: Mutex::default(), random });
        let parts = ConsumerParts {
            db: world.db.clone(),
            bus: Bus::new("127.0.0.1:1"),
            leases: Arc::new(Leases::new(world.db.clone(), "test".into(), Patience::from_secs(30), vec![])),
            handler: Arc::new(PaymentFacts::new(world.store.clone())),
            source: source.clone(),
            settings: ConsumerSettings::default(),
        };
        let consumer = Consumer::new("booking", "payment", "eventix.payment.v1", parts);
        Self { world, booking, source, consumer }
    }

    fn tells<M: Message + Name>(&self, payload: &M) {
        let mut facts = self.source.facts.lock().unwrap();
        let sequence = i64::try_from(facts.len() + 1).unwrap();
        let fact = NewFact::of(self.booking.0, sequence, payload);
        let value = fact.envelope(FactId::new(), from_micros(0)).into();
        facts.push(FactRecord { value, headers: vec![] });
    }

    /// Everything told so far arrives this much later, until booking has taken all of it.
    async fn arrives(&self, later: Duration) {
        self.world.pass(later);
        let sql = "SELECT coalesce(max(sequence), 0) FROM watermarks WHERE aggregate_id = $1";
        let told = i64::try_from(self.source.facts.lock().unwrap().len()).unwrap();
        for _ in 0..100 {
            self.consumer.ask(self.booking.0).await.unwrap();
            if self.world.count(sql, [self.booking.into()]).await == told {
                return;
            }
        }
        panic!("booking {} never took all {told} facts", self.booking);
    }
}

/// What is left of a life: state, facts told, valid tickets, refunds, and who has the seat.
type End = (&'static str, Vec<String>, usize, Vec<i64>, Option<String>);

/// A decline, another attempt that is approved `late`, its capture and a refund, each told as `telling` says.
async fn life(world: &World, telling: Telling, late: Duration, taken: bool) -> End {
    let sale = world.sale(2, &[]).await;
    let booking = world.held(&sale, "alice", &[0, 1], &[]).await;
    let payment = Payment::of(world, booking, telling);
    let (booking_id, total) = (booking.to_string(), world.find(booking).await.booking.total);
    world.pay("alice", booking).await.unwrap();
    payment.tells(&PaymentDeclined { booking_id: booking_id.clone(), attempt: 1, decline_code: "NO".into() });
    payment.arrives(Duration::minutes(1)).await;
    world.pay("alice", booking).await.unwrap();
    payment.tells(&PaymentAuthorised { booking_id: booking_id.clone(), attempt: 2, amount: Some(total.into()) });
    if taken {
        world.pass(late);
        world.held(&sale, "bob", &[0], &[]).await;
        payment.arrives(Duration::zero()).await;
    } else {
        payment.arrives(late).await;
    }
    if world.state(booking).await == "CONFIRMED" {
        let refund = world.refund(booking, &[1], None).await.unwrap().refunds.remove(0);
        let amount = Some(Money::into(refund.amount));
        payment.tells(&PaymentCaptured { booking_id: booking_id.clone(), attempt: 2, amount: Some(total.into()) });
        payment.tells(&PaymentRefunded { booking_id, refund_id: refund.id.to_string(), amount });
    } else {
        payment.tells(&PaymentVoided { booking_id, attempt: 2 });
    }
    payment.arrives(Duration::hours(72)).await;

    let stored = world.find(booking).await;
    let valid = stored.tickets.iter().filter(|ticket| !ticket.void).count();
    let owner = match world.claim(&sale, 0).await {
        Some((owner, ..)) if owner == booking => Some("alice".to_owned()),
        Some(_) => Some("bob".to_owned()),
        None => None,
    };
    (stored.booking.state.name(), world.facts(booking).await, valid, world.refunds(booking).await, owner)
}

async fn facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end(db: TestDb) {
    let world = World::new(db).await;
    let seeds = if everything() { 40 } else { 6 };
    let late = HOLD + GRACE + Duration::minutes(11);
    for (late, taken, state) in [
        (Duration::zero(), false, "CONFIRMED"),
        (late, false, "CONFIRMED"),
        (late, true, "EXPIRED"),
        (Duration::hours(72), false, "EXPIRED"),
    ] {
        let plain = life(&world, Telling::Plain, late, taken).await;
        assert_eq!(plain.0, state);
        let voids = plain.1.iter().filter(|fact| *fact == "VoidRequested").count();
        assert_eq!((plain.2, voids), if state == "CONFIRMED" { (1, 0) } else { (0, 1) });
        assert_eq!(plain.3, if state == "CONFIRMED" { vec![SEAT_PRICE] } else { vec![] });
        for seed in 1..=seeds {
            let noisy = life(&world, Telling::Noisy(seed), late, taken).await;
            assert_eq!(noisy, plain, "seed {seed}, {late} late, taken {taken}");
        }
    }
    assert_eq!(world.count("SELECT count(*) FROM dead_letters", []).await, 0);
    world.sweep().await;
    world.audit().await;
}
