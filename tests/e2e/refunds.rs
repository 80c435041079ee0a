//! Money back, end to end: by a box office, by policy, and by the thousand while the product is killed.

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use common::auth::Role;
use common::db::Db;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{SAGA, Shop, assert_audit_clean};
use crate::harness::{Product, eventually};
use crate::money::{LATE, SHORT};

const OFFICE: Option<(&str, Role)> = Some(("office", Role::Admin));
/// Bookings of a cancelled event: enough to be killed at a third of them.
const BULK: usize = 300;
/// The same when everything is tested.
const BULK_ALL: usize = 1000;
/// Customers who buy at the same time.
const AT_ONCE: usize = 8;

#[tokio::test]
async fn a_box_office_gives_back_an_amount_then_an_item_then_the_rest() {
    let (product, shop, event) = Shop::open(&[]).await;
    let seats = shop.free_seats(&event).await[..3].to_vec();
    let (id, price) = bought(&shop, "alice", &event, &seats).await;
    let items = seen(&shop, &id).await["items"].take();

    let amount = refund(&shop, json!({"bookingId": id, "amountMinor": 100, "idempotencyKey": "1"})).await;
    shop.until_payment("alice", &id, "PARTLY_REFUNDED").await;
    let item = json!({"bookingId": id, "itemIds": [items[1]["id"]], "reason": "twice", "idempotencyKey": "2"});
    let one = refund(&shop, item.clone()).await;
    let replayed = refund(&shop, item).await;
    let too_much = json!({"bookingId": id, "amountMinor": 2 * price, "idempotencyKey": "3"});
    let refused = refund(&shop, too_much).await;
    let bobs = bought(&shop, "bob", &event, from_ref(&seats[1])).await.0;
    let rest = refund(&shop, json!({"bookingId": id, "idempotencyKey": "4"})).await;
    shop.until_payment("alice", &id, "REFUNDED").await;

    assert_eq!((&amount["booking"]["state"], &one["booking"]["state"]), (&json!("CONFIRMED"), &json!("CONFIRMED")));
    assert_eq!(replayed, one, "the same key gives the same answer");
    assert_eq!(refused["userErrors"][0]["code"], "REFUND_EXCEEDS", "{refused}");
    assert_eq!(rest["booking"]["state"], "CANCELLED", "{rest}");
    let refunds = rest["booking"]["refunds"].as_array().unwrap();
    let amounts: Vec<i64> = refunds.iter().map(|refund| refund["amount"]["amountMinor"].as_i64().unwrap()).collect();
    assert_eq!((amounts.len(), amounts.iter().sum::<i64>()), (3, 3 * price));
    assert_eq!(refunds[1]["reason"], "twice");
    let done = eventually("all refunds done", SAGA, async || {
        let booking = seen(&shop, &id).await;
        (booking["refundedMinor"] == 3 * price).then_some(booking)
    });
    let states = done.await["refunds"].as_array().unwrap().iter().map(|r| r["state"].clone()).collect::<Vec<_>>();
    assert_eq!(states, ["DONE", "DONE", "DONE"]);
    assert_eq!(shop.booking("bob", &bobs).await["state"], "CONFIRMED", "the seat was sold once more, to bob");
    let history = history(&shop, &event, &seats[1]).await;
    assert_eq!(history.last().unwrap()["to"], "CONFIRMED", "{history:?}");
    let given_up = history.iter().find(|line| line["itemId"] == items[1]["id"]).unwrap();
    assert_eq!((&given_up["cause"], &given_up["actor"]), (&json!("refund"), &json!("office")));
    assert_audit_clean(&product);
}

#[tokio::test]
async fn a_product_that_was_down_while_holds_lapsed_decides_when_the_approval_comes() {
    let (mut product, shop, event) = Shop::open(&SHORT).await;
    let seats = shop.free_seats(&event).await[..3].to_vec();
    let alices = paying(&shop, "alice", &event, &seats[..1], LATE).await;
    let carols = paying(&shop, "carol", &event, &seats[1..], LATE).await;

    product.kill9();
    // Hold and grace end meanwhile.
    tokio::time::sleep(Duration::from_secs(10)).await;
    product.restart();
    shop.moved(&product);
    let bobs = bought(&shop, "bob", &event, &seats[2..]).await.0;

    shop.until("alice", &alices, "CONFIRMED").await;
    shop.until("carol", &carols, "EXPIRED").await;
    shop.until_payment("carol", &carols, "VOIDED").await;
    assert_eq!(shop.booking("bob", &bobs).await["state"], "CONFIRMED");
    assert_audit_clean(&product);
}

/// Killed with SIGKILL when at least a third of the bookings were called off, and started again.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_event_refunds_each_of_its_bookings_once_although_it_is_killed_at_a_third() {
    let bulk = if common::testing::everything() { BULK_ALL } else { BULK };
    let mut product = Product::start(&[]);
    let shop = Shop::of(&product);
    let (event, area) = field(&shop, bulk).await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut buyers = JoinSet::new();
    for n in 0..bulk {
        let (shop, event, area, turns) = (shop.clone(), event.clone(), area.clone(), turns.clone());
        buyers.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            let name = format!("buyer-{n}");
            let id = shop.hold_places(&name, &event, &area, 1, "hold").await.unwrap().id();
            shop.pay(&name, &id, "tok_approve", "pay").await.unwrap().id();
        });
    }
    buyers.join_all().await;
    let (booking, payment) = (database(&product, "booking").await, database(&product, "payment").await);
    let captured = "SELECT count(*) FROM payments WHERE state = 'captured'";
    eventually("every payment captured", SAGA * 3, async || (count(&payment, captured).await == bulk).then_some(()))
        .await;

    let cancel = "mutation($input: CancelEventInput!) { cancelEvent(input: $input) { userErrors { code } } }";
    shop.data(OFFICE, cancel, json!({"input": {"eventId": event}})).await;
    let called_off = "SELECT count(*) FROM bookings WHERE state = 'CANCELLED'";
    while count(&booking, called_off).await < bulk / 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    product.kill9();
    let at_kill = count(&booking, called_off).await;
    println!("{at_kill} of {bulk} bookings were called off when the product was killed");
    assert!((bulk / 3..bulk).contains(&at_kill), "{at_kill} of {bulk}");
    product.restart();
    shop.moved(&product);

    let refunded = "SELECT count(*) FROM payments WHERE state = 'refunded'";
    eventually("every payment refunded", SAGA * 3, async || (count(&payment, refunded).await == bulk).then_some(()))
        .await;
    assert_eq!(count(&booking, called_off).await, bulk);
    let once = "SELECT count(*) FROM booking_refunds";
    assert_eq!(count(&booking, once).await, bulk);
    let provider = database(&product, "provider").await;
    let moved = "SELECT count(*) FROM provider_entries WHERE kind = 'refund'";
    assert_eq!(count(&provider, moved).await, bulk, "the provider paid each back once");
    assert_eq!(count(&booking, "SELECT sum(taken) FROM area_counters").await, 0);
    assert_audit_clean(&product);
}

/// A confirmed, captured booking of seats, and the price of one of them.
async fn bought(shop: &Shop, user: &str, event: &str, seats: &[String]) -> (String, i64) {
    let id = paying(shop, user, event, seats, "tok_approve").await;
    let confirmed = shop.until(user, &id, "CONFIRMED").await;
    shop.until_payment(user, &id, "CAPTURED").await;
    (id, confirmed["items"][0]["price"]["amountMinor"].as_i64().unwrap())
}

async fn paying(shop: &Shop, user: &str, event: &str, seats: &[String], token: &str) -> String {
    let id = shop.hold(user, event, seats, "hold").await.unwrap().id();
    shop.pay(user, &id, token, "pay").await.unwrap().id()
}

const REFUNDS: &str = "state refundedMinor refunds { id amount { amountMinor currency } state reason }";

async fn refund(shop: &Shop, input: Value) -> Value {
    let query = format!(
        "mutation($input: RefundBookingInput!) {{ refundBooking(input: $input) {{
            booking {{ id {REFUNDS} }} userErrors {{ field code message }} }} }}"
    );
    shop.data(OFFICE, &query, json!({"input": input})).await["refundBooking"].take()
}

async fn seen(shop: &Shop, id: &str) -> Value {
    let query = format!("query($id: ID!) {{ booking(id: $id) {{ items {{ id }} {REFUNDS} }} }}");
    shop.data(OFFICE, &query, json!({"id": id})).await["booking"].take()
}

async fn history(shop: &Shop, event: &str, seat: &str) -> Vec<Value> {
    let query = "query($event: ID!, $seat: ID!) { seatHistory(eventId: $event, seatId: $seat, first: 100) {
        edges { node { from to cause actor itemId detail } } } }";
    let data = shop.data(OFFICE, query, json!({"event": event, "seat": seat})).await;
    data["seatHistory"]["edges"].as_array().unwrap().iter().map(|edge| edge["node"].clone()).collect()
}

/// An event on a field without seats, on sale: its id, and its one area's.
async fn field(shop: &Shop, places: usize) -> (String, String) {
    let done = async |name: &str, shown: &str, input: Value| {
        let input_type = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {input_type}!) {{ {name}(input: $input) {{ {shown} userErrors {{ field message }} }} }}"
        );
        shop.data(OFFICE, &query, json!({"input": input})).await[name].take()
    };
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let venue = done("createVenue", "venue { id }", json!({"name": "Field", "timeZone": "Europe/Berlin"})).await;
    let venue = text(&venue["venue"]["id"]);
    let plan = json!({"name": "Field", "categories": [], "zones": [], "size": {"width": 100, "height": 100}});
    let areas = json!([{"name": "Lawn", "capacity": places}]);
    let plan = json!({"venueId": venue, "plan": plan, "areas": areas});
    let plan = done("importSeatingPlan", "seatingPlan { id areas { id } }", plan).await["seatingPlan"].take();
    let area = text(&plan["areas"][0]["id"]);
    let event = json!({
        "venueId": venue, "seatingPlanId": plan["id"], "title": "Open field", "startsAt": "2030-08-01T18:00:00Z",
        "currency": "EUR", "prices": [{"areaId": area, "amountMinor": 2000}],
    });
    let event = text(&done("createEvent", "event { id }", event).await["event"]["id"]);
    done("publishEvent", "event { id }", json!({"eventId": event})).await;
    (event, area)
}

async fn database(product: &Product, service: &str) -> Db {
    let file = product.data.join(format!("{service}.db"));
    Db::connect(&format!("sqlite://{}?mode=ro", file.display()), 1).await.unwrap()
}

async fn count(db: &Db, sql: &str) -> usize {
    let rows = db.query(db.reader(), format!("SELECT CAST(({sql}) AS bigint) AS n"), []).await.unwrap();
    usize::try_from(rows[0].try_get::<i64>("", "n").unwrap()).unwrap()
}
