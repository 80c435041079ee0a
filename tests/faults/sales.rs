//! What an event's report says of places and money, recounted from the databases of booking, payment and the provider: while
//! things are under way, while payment is down, and once everything has come to its end.

use common::auth::Role;
use serde_json::{Value, json};

use crate::client::SAGA;
use crate::flows::Flow;
use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::lane::{Lane, impatient};
use crate::stage;

/// More refusals than [`impatient`] has patience for, by one.
const REFUSED_THREE_TIMES: &str = "tok_refund_fails_3";

#[tokio::test]
async fn a_report_equals_a_recount_of_the_ledgers_also_while_refunds_wait_for_payment() {
    let mut lane = Lane::open(impatient(Plan::on(Databases::postgres().await))).await;
    for (n, flow) in [Flow::Paid, Flow::Declined, Flow::Released, Flow::CaptureFails, Flow::Cancelled, Flow::GivenBack]
        .into_iter()
        .enumerate()
    {
        lane.run(flow, &format!("customer-{n}")).await;
    }
    let standing = places(&lane, "standing", 3, "tok_approve").await;
    lane.shop.until_payment("standing", &standing, "CAPTURED").await;
    let seated = seat(&lane, "seated", REFUSED_THREE_TIMES).await;
    lane.shop.until_payment("seated", &seated, "CAPTURED").await;
    lane.shop.hold_places("undecided", &lane.event.id, lane.hall.area(), 2, "hold").await.unwrap().id();
    stage::hold(&lane.shop, &lane.event, "undecided", &lane.event.seat()).await;
    settled(&lane).await;

    let before = assert_recounted(&lane).await;
    lane.mesh.node(Service::Payment).kill9().await;
    stage::cancel(&lane.shop, "standing", &standing).await;
    stage::cancel(&lane.shop, "seated", &seated).await;
    let waiting = assert_recounted(&lane).await;
    lane.mesh.node(Service::Payment).start().await;
    lane.shop.until_payment("seated", &seated, "STUCK").await;
    lane.shop.until_payment("standing", &standing, "REFUNDED").await;
    settled(&lane).await;
    let stuck = assert_recounted(&lane).await;
    // One refusal is left.
    stage::retry_refund(&lane.shop, &seated).await;
    lane.shop.until_payment("seated", &seated, "REFUNDED").await;
    settled(&lane).await;
    let healed = assert_recounted(&lane).await;

    let price = before["grossMinor"].as_i64().unwrap() / 7;
    assert_eq!(before["grossMinor"], 7 * price, "four seats and three places were paid for");
    assert_eq!((&before["sold"], &before["held"]), (&json!(6), &json!(3)));
    for (report, pending, stuck) in [(before, 0, 0), (waiting, 4 * price, 0), (stuck, 0, price), (healed, 0, 0)] {
        assert_eq!((&report["refundPendingMinor"], &report["refundStuckMinor"]), (&json!(pending), &json!(stuck)));
    }
    lane.assert_clean("a season of sales").await;
}

async fn seat(lane: &Lane, user: &str, token: &str) -> String {
    let booking = stage::hold(&lane.shop, &lane.event, user, &lane.event.seat()).await;
    stage::pay(&lane.shop, user, &booking, token).await;
    booking
}

async fn places(lane: &Lane, user: &str, quantity: u32, token: &str) -> String {
    let held = lane.shop.hold_places(user, &lane.event.id, lane.hall.area(), quantity, "hold").await.unwrap();
    stage::pay(&lane.shop, user, &held.id(), token).await;
    held.id()
}

/// Waits until payment has nothing left to do that is not for a person, and booking knows it.
pub async fn settled(lane: &Lane) {
    let count = async |service, rows: &str| {
        let sql = format!("SELECT CAST(count(*) AS bigint) AS n FROM {rows}");
        lane.mesh.databases.count(service, &sql).await
    };
    let awaited = "booking_refunds r JOIN bookings b ON b.id = r.booking_id
        WHERE r.state = 'requested' OR (b.state = 'CONFIRMED' AND NOT b.captured)";
    eventually("nothing is under way", SAGA, async || {
        let asked = count(Service::Payment, "provider_steps WHERE state IN ('pending', 'unknown')").await;
        let stuck = count(Service::Payment, "refunds WHERE state = 'stuck'").await;
        let known = count(Service::Booking, "booking_refunds WHERE state = 'stuck'").await;
        (asked + count(Service::Booking, awaited).await == 0 && stuck == known).then_some(())
    })
    .await;
}

/// The totals of the event's report, once each number in it was found to be what the databases say.
pub async fn assert_recounted(lane: &Lane) -> Value {
    let query = "query($id: ID!) { salesReport(eventId: $id) {
        lines { category area sold held free total grossMinor refundedMinor }
        totals { sold held free total grossMinor refundedMinor refundPendingMinor refundStuckMinor } } }";
    let office = Some(("office", Role::Admin));
    let report = lane.shop.data(office, query, json!({"id": lane.event.id})).await["salesReport"].take();
    let lines = report["lines"].as_array().unwrap();
    let books = Books::of(lane).await;

    assert_eq!(lines.len(), 2, "a category and an area: {report}");
    for (line, kind) in lines.iter().zip(["seat_id", "area_id"]) {
        let total = line["total"].as_i64().unwrap();
        let (sold, held) = (books.sold(kind).await, books.held(kind).await);
        let (gross, refunded) = (books.paid_for(kind).await, books.came_off(kind).await);
        let counted = json!({
            "category": line["category"], "area": line["area"], "total": total, "sold": sold, "held": held,
            "free": total - sold - held, "grossMinor": gross, "refundedMinor": refunded,
        });
        assert_eq!(*line, counted);
    }
    let totals = &report["totals"];
    let minor = |name: &str| totals[name].as_i64().unwrap();
    for name in ["sold", "held", "free", "total", "grossMinor", "refundedMinor"] {
        assert_eq!(minor(name), lines.iter().map(|line| line[name].as_i64().unwrap()).sum::<i64>(), "{name}");
    }
    assert_eq!(minor("grossMinor"), books.captured().await);
    assert_eq!(minor("refundStuckMinor"), books.stuck().await);
    let went_back = minor("refundedMinor") - minor("refundPendingMinor") - minor("refundStuckMinor");
    assert_eq!(went_back, books.went_back().await);
    totals.clone()
}

/// The databases, as far as they tell of the lane's event.
struct Books<'a> {
    databases: &'a Databases,
    event: &'a str,
    /// Ids of its bookings of which payment has taken money, as a list in SQL; payments have the same ids.
    captured: String,
}

impl<'a> Books<'a> {
    async fn of(lane: &'a Lane) -> Self {
        let databases = &lane.mesh.databases;
        let sql =
            "SELECT DISTINCT payment_id AS id FROM ledger_entries WHERE account = 'customer' AND credit_minor > 0";
        let captured = databases.ids(Service::Payment, sql).await;
        assert!(!captured.is_empty(), "nothing was sold");
        let captured = captured.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ");
        Self { databases, event: &lane.event.id, captured }
    }

    async fn booking(&self, counted: &str, from: &str) -> i64 {
        let sql = format!("SELECT CAST(coalesce({counted}, 0) AS bigint) AS n FROM {from}");
        self.databases.count(Service::Booking, &sql).await
    }

    /// Places with a ticket that lets somebody in.
    async fn sold(&self, kind: &str) -> i64 {
        let from = format!(
            "tickets t JOIN booking_items i ON i.id = t.item_id
             WHERE t.event_id = '{}' AND t.state = 'valid' AND i.{kind} IS NOT NULL",
            self.event
        );
        self.booking("count(*)", &from).await
    }

    async fn held(&self, kind: &str) -> i64 {
        self.booking("count(*)", &self.items(kind, "b.state IN ('HELD', 'PAYING')")).await
    }

    /// Prices of what was in bookings whose money was taken.
    async fn paid_for(&self, kind: &str) -> i64 {
        self.booking("sum(i.price_minor)", &self.items(kind, &format!("b.id IN ({})", self.captured))).await
    }

    async fn came_off(&self, kind: &str) -> i64 {
        self.booking("sum(i.refunded_minor)", &self.items(kind, &format!("b.id IN ({})", self.captured))).await
    }

    fn items(&self, kind: &str, which: &str) -> String {
        format!(
            "booking_items i JOIN bookings b ON b.id = i.booking_id
             WHERE b.event_id = '{}' AND i.{kind} IS NOT NULL AND {which}",
            self.event
        )
    }

    /// What payment took by its ledger, and the provider by its own.
    async fn captured(&self) -> i64 {
        self.moved("credit_minor", "capture").await
    }

    /// What went back by either.
    async fn went_back(&self) -> i64 {
        self.moved("debit_minor", "refund").await
    }

    async fn moved(&self, column: &str, kind: &str) -> i64 {
        let ours = format!(
            "SELECT CAST(coalesce(sum({column}), 0) AS bigint) AS n FROM ledger_entries
             WHERE account = 'customer' AND payment_id IN ({})",
            self.captured
        );
        let theirs = format!(
            "SELECT CAST(coalesce(sum(amount_minor), 0) AS bigint) AS n FROM provider_entries WHERE kind = '{kind}'"
        );
        let ours = self.databases.count(Service::Payment, &ours).await;
        assert_eq!(ours, self.databases.count_in_ledger(&theirs).await, "{kind} of payment and of the provider");
        ours
    }

    /// What waits for a person, in payment.
    async fn stuck(&self) -> i64 {
        let sql = "SELECT CAST(coalesce(sum(amount_minor), 0) AS bigint) AS n FROM refunds WHERE state = 'stuck'";
        self.databases.count(Service::Payment, sql).await
    }
}
