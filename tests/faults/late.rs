//! Transactions that stay open: facts committed late still go out, and nobody waits for another's hold.

use std::time::{Duration, Instant};

use common::failpoint::{Moment, Point, Step, Strike};
use sea_orm::{ConnectionTrait, TransactionTrait};

use crate::flows::Flow;
use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::lane::{Lane, impatient};
use crate::{report, stage};

const SOON: Duration = Duration::from_secs(30);
/// What a hold may take that waits for nobody, on a busy machine.
const UNDISTURBED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_fact_that_commits_late_still_goes_out_in_its_bookings_order() {
    let mut lane = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    let point = Point::new(Step::Hold, Moment::Before, "hold");
    let failpoints = lane.mesh.node(Service::Booking).failpoints.clone();
    failpoints.arm(&point, Strike::HoldUp).unwrap();

    let late = async {
        let booking = stage::hold(&lane.shop, &lane.event, "late", &lane.event.seat()).await;
        stage::pay(&lane.shop, "late", &booking, "tok_approve").await;
        booking
    };
    let others = async {
        eventually("the hold is held up", SOON, async || failpoints.has_struck(&point).then_some(())).await;
        for n in 0..3 {
            lane.run(Flow::Paid, &format!("early-{n}")).await;
        }
        failpoints.release(&point).unwrap();
        Instant::now()
    };
    let (booking, released) = tokio::join!(Box::pin(late), Box::pin(others));
    lane.shop.until("late", &booking, "CONFIRMED").await;
    lane.shop.until_payment("late", &booking, "CAPTURED").await;

    let first = format!("SELECT min(position) AS n FROM outbox WHERE aggregate_id = '{booking}'");
    let others = format!("SELECT min(position) AS n FROM outbox WHERE aggregate_id <> '{booking}'");
    let databases = &lane.mesh.databases;
    let (first, others) =
        (databases.count(Service::Booking, &first).await, databases.count(Service::Booking, &others).await);
    assert!(first < others, "the late fact was given its position after the others: {first}, {others}");
    let disorder = format!(
        "SELECT CAST(count(*) AS bigint) AS n FROM inbox a JOIN inbox b ON a.aggregate_id = b.aggregate_id
         WHERE a.aggregate_id = '{booking}' AND a.sequence < b.sequence AND a.processed_at > b.processed_at"
    );
    assert_eq!(databases.count(Service::Payment, &disorder).await, 0);
    lane.assert_clean("a late commit").await;
    report("a hold committed after three later ones were paid", 4, released.elapsed());
}

#[tokio::test]
async fn holds_on_other_seats_do_not_wait_for_a_transaction_that_is_left_open() {
    let lane = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    let (third, first, second) = (lane.event.seat(), lane.event.seat(), lane.event.seat());
    let elsewhere = lane.mesh.databases.of(Service::Booking).connect_again().await;
    let open = elsewhere.writer().begin().await.unwrap();
    let event = &lane.event.id;
    // What a hold locks and writes, as far as any other hold could meet it.
    for sql in [
        format!("INSERT INTO event_customers (event_id, customer_id) VALUES ('{event}', 'third')"),
        "SELECT nextval('fences')".to_owned(),
        format!(
            "INSERT INTO seat_claims (event_id, seat_id, booking_id, fence, state, expires_at)
             VALUES ('{event}', '{third}', '{}', 0, 'held', 1)",
            uuid::Uuid::now_v7()
        ),
    ] {
        open.execute_unprepared(&sql).await.unwrap();
    }
    let began = Instant::now();

    let both = async {
        tokio::join!(
            stage::hold(&lane.shop, &lane.event, "first", &first),
            stage::hold(&lane.shop, &lane.event, "second", &second),
        )
    };
    tokio::time::timeout(UNDISTURBED, Box::pin(both)).await.expect("nobody waits for a third one's seat");
    let held = began.elapsed();

    open.rollback().await.unwrap();
    stage::hold(&lane.shop, &lane.event, "third", &third).await;
    lane.assert_clean("a transaction left open").await;
    report("a third one's transaction left open, two holds beside it", 2, held);
}
