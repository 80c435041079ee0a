//! Whole lives of payments in which every fact of booking is told several times, out of order and days late.

use std::sync::Arc;

use chrono::Duration;
use common::ids::{BookingId, PaymentId, RefundId};
use common::proto::booking::v1::{BookingCancelled, BookingReleased};
use common::testing::everything;
use common::testing::untidy::{Producer, Telling};
use payment::domain::PaymentState;
use payment::infrastructure::provider::simulated::SimulatedProvider;

use crate::support::{World, confirmed, expired, give_back, held, on_both_databases, pay, void};

on_both_databases!(facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end);

/// What becomes of a booking.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// Declined, then paid; a part is given back, then the booking is cancelled and the rest goes back.
    Cancelled,
    /// Approved too late: the money goes again.
    TooLate,
    /// Given up before it was paid.
    Released,
    /// Never paid.
    Expired,
}

/// What is left of a life: state, facts told, captured and refunded minor units, and what the provider did, in order.
type End = (PaymentState, Vec<String>, i64, i64, String);

/// Each fact comes as `telling` says, 72 hours after the one before where that is allowed.
async fn life(world: &World, telling: Telling, course: Course) -> End {
    let provider = Arc::new(SimulatedProvider::over(world.db.clone()).await.unwrap());
    let running = world.work(provider);
    let id = BookingId::new();
    let booking = Producer::of(id.0, telling);
    let taker = booking.told_to(&world.db, "payment", ("booking", "eventix.booking.v1"), world.saga.clone());
    let comes_to = async |state: PaymentState| {
        world.db.shift_time(Duration::hours(72));
        taker.takes_all().await;
        world.until(id, state).await;
    };
    let booking_id = || id.to_string();

    booking.tells(&held(id, "alice"));
    comes_to(PaymentState::Open).await;
    let end = match course {
        Course::Cancelled => {
            booking.tells(&pay(id, 1, "tok_decline"));
            comes_to(PaymentState::Declined).await;
            booking.tells(&pay(id, 2, "tok_approve"));
            comes_to(PaymentState::Authorised).await;
            // Both at once: the refund may come before what it refunds.
            booking.tells(&confirmed(id, 2));
            booking.tells(&give_back(id, RefundId::new(), 1000));
            world.db.shift_time(Duration::hours(72));
            taker.takes_all().await;
            world.until_payment(id, |payment| payment.refunded_minor == 1000).await;
            booking.tells(&BookingCancelled { booking_id: booking_id(), cause: "CUSTOMER".into() });
            booking.tells(&give_back(id, RefundId::new(), 1500));
            PaymentState::Refunded
        }
        Course::TooLate => {
            booking.tells(&pay(id, 1, "tok_approve"));
            comes_to(PaymentState::Authorised).await;
            booking.tells(&expired(id));
            booking.tells(&void(id, 1));
            PaymentState::Voided
        }
        Course::Released => {
            booking.tells(&BookingReleased { booking_id: booking_id() });
            PaymentState::Closed
        }
        Course::Expired => {
            booking.tells(&pay(id, 1, "tok_decline"));
            comes_to(PaymentState::Declined).await;
            booking.tells(&expired(id));
            PaymentState::Closed
        }
    };
    comes_to(end).await;
    // And all of it once more, when everything is over.
    comes_to(end).await;
    running.stop().await;

    let sql = "SELECT kind, amount_minor FROM provider_entries WHERE reference LIKE $1 ORDER BY position";
    let rows = world.db.query(world.db.reader(), sql, [format!("{}-%", PaymentId::of(id)).into()]).await.unwrap();
    let entry = |row: &sea_orm::QueryResult| {
        let (kind, amount): (String, i64) =
            (row.try_get("", "kind").unwrap(), row.try_get("", "amount_minor").unwrap());
        format!("{kind} {amount}")
    };
    let done = rows.iter().map(entry).collect::<Vec<_>>().join(", ");
    let payment = world.payment(id).await;
    (payment.state, world.told(id).await, payment.captured_minor, payment.refunded_minor, done)
}

async fn facts_told_again_and_again_out_of_order_and_late_lead_to_the_same_end(world: World) {
    for (course, done) in [
        (Course::Cancelled, "decline 2500, authorise 2500, capture 2500, refund 1000, refund 1500"),
        (Course::TooLate, "authorise 2500, void 2500"),
        (Course::Released, ""),
        (Course::Expired, "decline 2500"),
    ] {
        let plain = life(&world, Telling::Plain, course).await;
        assert_eq!(plain.4, done, "{course:?}");
        for seed in 1..=if everything() { 40 } else { 6 } {
            let noisy = life(&world, Telling::Noisy(seed), course).await;
            assert_eq!(noisy, plain, "seed {seed}, {course:?}");
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM dead_letters").await, 0);
    world.books_balance().await;
}
