//! An approval that comes while booking is down, and after hold and grace are over.

use std::time::{Duration, Instant};

use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::lane::{Lane, hasty};
use crate::{report, stage};

/// When the provider approves, from its first question on: long after hold and grace are over and the seat was sold again.
const LATE: &str = "tok_approve_after_25";
/// Time for that, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
const AUTHORISED: &str = "SELECT CAST(count(*) AS bigint) AS n FROM payments WHERE state = 'authorised'";
const ASKED: &str = "SELECT CAST(count(*) AS bigint) AS n FROM provider_steps WHERE kind = 'authorise' AND tries > 0";
const PAYING: &str = "SELECT CAST(count(*) AS bigint) AS n FROM bookings WHERE state = 'PAYING'";

#[tokio::test]
async fn an_approval_while_booking_is_down_confirms_what_is_still_free_and_is_voided_otherwise() {
    let mut lane = Lane::open(hasty(Plan::on(Databases::postgres().await))).await;
    let (free, taken) = (lane.event.seat(), lane.event.seat());
    let mut bookings = Vec::new();
    for (user, seat) in [("alice", &free), ("carol", &taken)] {
        let booking = stage::hold(&lane.shop, &lane.event, user, seat).await;
        stage::pay(&lane.shop, user, &booking, LATE).await;
        bookings.push(booking);
    }
    let Lane { mesh, shop, event, .. } = &mut lane;
    let databases = &mesh.databases;
    eventually("both payments are asked for", PATIENCE, async || {
        (databases.count(Service::Payment, ASKED).await == 2).then_some(())
    })
    .await;
    // Carol's seat is nobody's once hold and grace are over.
    let bobs = eventually("bob holds carol's seat", PATIENCE, async || {
        let answer = shop.hold("bob", &event.id, std::slice::from_ref(&taken), "bob").await.unwrap();
        answer.errors.is_empty().then(|| answer.id())
    })
    .await;
    stage::pay(shop, "bob", &bobs, "tok_approve").await;
    shop.until("bob", &bobs, "CONFIRMED").await;
    shop.until_payment("bob", &bobs, "CAPTURED").await;
    assert_eq!(databases.count(Service::Payment, AUTHORISED).await, 0, "the approval is not late");
    assert_eq!(databases.count(Service::Booking, PAYING).await, 2);

    mesh.node(Service::Booking).kill9().await;
    let databases = &mesh.databases;
    eventually("both payments are approved while booking is down", PATIENCE, async || {
        (databases.count(Service::Payment, AUTHORISED).await == 2).then_some(())
    })
    .await;
    assert_eq!(databases.count(Service::Booking, PAYING).await, 2, "booking heard of it");
    let back = Instant::now();
    mesh.node(Service::Booking).start().await;

    shop.until("alice", &bookings[0], "CONFIRMED").await;
    shop.until_payment("alice", &bookings[0], "CAPTURED").await;
    shop.until("carol", &bookings[1], "EXPIRED").await;
    shop.until_payment("carol", &bookings[1], "VOIDED").await;
    let converged = back.elapsed();
    assert_eq!(shop.booking("bob", &bobs).await["state"], "CONFIRMED", "the other buyer is untouched");
    for (kind, times) in [("void", 1), ("capture", 2)] {
        let sql = format!("SELECT CAST(count(*) AS bigint) AS n FROM provider_entries WHERE kind = '{kind}'");
        assert_eq!(mesh.databases.count_in_ledger(&sql).await, times, "{kind}");
    }
    lane.assert_clean("an approval while booking was down").await;
    report("approved 25 s late while booking was down", 3, converged);
}
