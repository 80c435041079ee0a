//! Whole lives of payments in which every fact of booking is told several times, out of order and days late.

use std::sync::Arc;

use chrono::Duration;
use common::ids::{BookingId, PaymentId, RefundId};
use common::proto::booking::v1::{BookingCancelled, BookingReleased};
use common::testing::everything;
use common::testing::untidy::{Draw, Producer, Taker, Telling};
use payment::domain::PaymentState;
use payment::infrastructure::provider::simulated::SimulatedProvider;
use prost::{Message, Name};
use sea_orm::QueryResult;

use crate::support::{World, confirmed, expired, give_back, held, on_both_databases, pay, void};

on_both_databases!(facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end);

/// What becomes of a booking.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// Declined, then paid; a part is given back, then the booking is cancelled and the rest goes back.
    Cancelled,
    /// Approved too late: the money goes again.
    TooLate,
    /// Over before the provider was ever asked, which then approves: the money goes again.
    OverBefore,
    /// Given up before it was paid.
    Released,
    /// Never paid.
    Expired,
}

/// What is left of a life.
#[derive(Debug, PartialEq, Eq)]
struct End {
    state: PaymentState,
    told: Vec<String>,
    captured_minor: i64,
    refunded_minor: i64,
    /// What the provider did, in order.
    done: String,
    /// Account, debit and credit of each entry, in order.
    ledger: Vec<(String, i64, i64)>,
}

/// The way from booking to payment: each fact at once, or several together, up to 72 hours late.
struct Road<'a> {
    world: &'a World,
    id: BookingId,
    booking: Arc<Producer>,
    taker: Taker,
    late: Option<Draw>,
}

impl<'a> Road<'a> {
    fn of(world: &'a World, telling: Telling) -> Self {
        let id = BookingId::new();
        let booking = Producer::of(id.0, telling);
        let taker = booking.told_to(&world.db, "payment", ("booking", "eventix.booking.v1"), world.saga.clone());
        let late = match telling {
            Telling::Plain => None,
            Telling::Noisy(seed) => Some(Draw::of(seed)),
        };
        Self { world, id, booking, taker, late }
    }

    async fn tells<M: Message + Name>(&self, payload: &M) {
        self.booking.tells(payload);
        if self.late.is_none() {
            self.taker.takes_all().await;
        }
    }

    /// What is still under way comes, and leads to a state.
    async fn leads_to(&mut self, state: PaymentState) {
        if let Some(draw) = &mut self.late {
            self.world.db.shift_time(Duration::hours(i64::try_from(draw.below(73)).unwrap()));
        }
        self.taker.takes_all().await;
        self.world.until(self.id, state).await;
    }
}

/// Each fact comes as `telling` says.
async fn life(world: &World, telling: Telling, course: Course) -> End {
    let provider = Arc::new(SimulatedProvider::over(world.db.clone()).await.unwrap());
    let running = world.work(provider);
    let mut road = Road::of(world, telling);
    let (id, booking_id) = (road.id, road.id.to_string());

    road.tells(&held(id, "alice")).await;
    let end = match course {
        Course::Cancelled => {
            road.tells(&pay(id, 1, "tok_decline")).await;
            road.leads_to(PaymentState::Declined).await;
            road.tells(&pay(id, 2, "tok_approve")).await;
            road.leads_to(PaymentState::Authorised).await;
            // A refund may come before what it refunds.
            road.tells(&confirmed(id, 2)).await;
            road.tells(&give_back(id, RefundId::new(), 1000)).await;
            road.tells(&BookingCancelled { booking_id, cause: "CUSTOMER".into() }).await;
            road.tells(&give_back(id, RefundId::new(), 1500)).await;
            PaymentState::Refunded
        }
        Course::TooLate => {
            road.tells(&pay(id, 1, "tok_approve")).await;
            road.leads_to(PaymentState::Authorised).await;
            road.tells(&expired(id)).await;
            road.tells(&void(id, 1)).await;
            PaymentState::Voided
        }
        Course::OverBefore => {
            road.tells(&pay(id, 1, "tok_approve")).await;
            road.tells(&expired(id)).await;
            road.leads_to(PaymentState::Authorised).await;
            road.tells(&void(id, 1)).await;
            PaymentState::Voided
        }
        Course::Released => {
            road.tells(&BookingReleased { booking_id }).await;
            PaymentState::Closed
        }
        Course::Expired => {
            road.tells(&pay(id, 1, "tok_decline")).await;
            road.leads_to(PaymentState::Declined).await;
            road.tells(&expired(id)).await;
            PaymentState::Closed
        }
    };
    road.leads_to(end).await;
    // And all of it once more, when everything is over.
    road.leads_to(end).await;
    running.stop().await;
    what_is_left(world, id).await
}

async fn what_is_left(world: &World, id: BookingId) -> End {
    let done = "SELECT kind, amount_minor FROM provider_entries WHERE reference LIKE $1 ORDER BY position";
    let done = world.db.query(world.db.reader(), done, [format!("{id}-%").into()]).await.unwrap();
    let ledger = "SELECT account, debit_minor, credit_minor FROM ledger_entries WHERE payment_id = $1 ORDER BY id";
    let ledger = world.db.query(world.db.reader(), ledger, [PaymentId::of(id).into()]).await.unwrap();
    let payment = world.payment(id).await;
    let number = |row: &QueryResult, column: &str| row.try_get::<i64>("", column).unwrap();
    let text = |row: &QueryResult, column: &str| row.try_get::<String>("", column).unwrap();
    End {
        state: payment.state,
        told: world.told(id).await,
        captured_minor: payment.captured_minor,
        refunded_minor: payment.refunded_minor,
        done: done
            .iter()
            .map(|row| format!("{} {}", text(row, "kind"), number(row, "amount_minor")))
            .collect::<Vec<_>>()
            .join(", "),
        ledger: ledger
            .iter()
            .map(|row| (text(row, "account"), number(row, "debit_minor"), number(row, "credit_minor")))
            .collect(),
    }
}

async fn facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end(world: World) {
    for (course, done) in [
        (Course::Cancelled, "decline 2500, authorise 2500, capture 2500, refund 1000, refund 1500"),
        (Course::TooLate, "authorise 2500, void 2500"),
        (Course::OverBefore, "authorise 2500, void 2500"),
        (Course::Released, ""),
        (Course::Expired, "decline 2500"),
    ] {
        let plain = life(&world, Telling::Plain, course).await;
        assert_eq!(plain.done, done, "{course:?}");
        for seed in 1..=if everything() { 40 } else { 6 } {
            let noisy = life(&world, Telling::Noisy(seed), course).await;
            assert_eq!(noisy, plain, "seed {seed}, {course:?}");
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM dead_letters").await, 0);
    world.books_balance().await;
}
