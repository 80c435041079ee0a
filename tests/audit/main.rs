//! `eventix audit`: healthy databases pass, and for each invariant a corrupted row is found and named.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

#[allow(dead_code, reason = "each test binary uses its own part of the client")]
#[path = "../e2e/client.rs"]
mod client;
#[path = "../harness/mod.rs"]
mod harness;

mod postgres;
mod world;

use std::fs;
use std::time::Duration;

use harness::{eventix, text};
use uuid::Uuid;
use world::{Copy, template};

/// Microseconds.
const HOUR: &str = "3600000000";

fn booking_of(user: &str) -> String {
    format!("(SELECT id FROM bookings WHERE customer_id = '{user}')")
}

#[tokio::test]
async fn a_product_at_work_is_clean_and_says_so() {
    let beside = &template().await.beside;

    let said = text(&beside.stdout);
    assert_eq!(beside.status.code(), Some(0), "{said}{}", text(&beside.stderr));
    assert!(said.starts_with("I1 ok (") && said.ends_with("\naudit: all 10 invariants hold\n"), "{said}");
    assert_eq!(said.lines().count(), 11, "{said}");
}

#[tokio::test]
async fn a_stopped_product_is_clean_and_every_invariant_looked_at_something() {
    let verdict = Copy::new().await.audit();

    assert_eq!(verdict.broken(), Vec::<&str>::new(), "{:#}", verdict.report);
    assert_eq!(verdict.exit, Some(0));
    assert_eq!(verdict.report["ok"], true);
    for (invariant, n) in verdict.report["invariants"].as_array().unwrap().iter().zip(1..) {
        assert_eq!(invariant["id"], format!("I{n}"));
        assert!(invariant["checked"].as_i64().unwrap() > 0, "{invariant}");
    }
}

#[tokio::test]
async fn i1_a_sold_seat_claimed_for_another_booking() {
    let copy = Copy::new().await;
    let item =
        copy.id("booking", &format!("SELECT id FROM booking_items WHERE booking_id = {}", booking_of("dave"))).await;
    let (alice, dave) = (booking_of("alice"), booking_of("dave"));
    copy.corrupt("booking", &format!("UPDATE seat_claims SET booking_id = {alice} WHERE booking_id = {dave}")).await;

    copy.audit().assert_breaks(&["I1"], &item);
}

#[tokio::test]
async fn i1_a_seat_in_two_live_bookings() {
    let copy = Copy::new().await;
    let (alice, dave) = (booking_of("alice"), booking_of("dave"));
    let seat = copy.id("booking", &format!("SELECT seat_id FROM booking_items WHERE booking_id = {alice}")).await;
    let sql = format!(
        "UPDATE booking_items SET seat_id = (SELECT seat_id FROM booking_items WHERE booking_id = {alice} LIMIT 1)
        WHERE booking_id = {dave}"
    );
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I1"], &seat);
}

#[tokio::test]
async fn i1_a_counter_that_is_not_its_claims() {
    let copy = Copy::new().await;
    let area = copy.id("booking", "SELECT area_id FROM area_counters WHERE taken > 0").await;
    copy.corrupt("booking", "UPDATE area_counters SET taken = taken - 1 WHERE taken > 0").await;

    copy.audit().assert_breaks(&["I1"], &area);
}

#[tokio::test]
async fn i2_money_kept_for_what_was_given_back() {
    let copy = Copy::new().await;
    let alice = copy.booking("alice").await;
    let sql = format!("UPDATE booking_items SET refunded_minor = 1 WHERE booking_id = {}", booking_of("alice"));
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I2", "I10"], &alice);
}

#[tokio::test]
async fn i2_a_provider_that_says_something_else() {
    let copy = Copy::new().await;
    let sql = "SELECT reference FROM provider_charges WHERE state = 'captured' ORDER BY reference";
    let reference = copy.id("provider", sql).await;
    let sql = "UPDATE provider_charges SET state = 'approved' WHERE reference = $1";
    copy.corrupt_with("provider", sql, [reference.clone().into()]).await;

    copy.audit().assert_breaks(&["I2"], &reference);
}

#[tokio::test]
async fn i2_a_charge_that_payment_never_asked_for() {
    let copy = Copy::new().await;
    let reference = format!("{}-1", Uuid::now_v7());
    let sql =
        "INSERT INTO provider_charges (reference, token, state, amount_minor, currency, captured_minor, voided_minor,
        refunded_minor, created_at, updated_at) VALUES ($1, 'tok_approve', 'approved', 5, 'EUR', 0, 0, 0, 1, 1)";
    copy.corrupt_with("provider", sql, [reference.clone().into()]).await;

    copy.audit().assert_breaks(&["I2"], &reference);
}

#[tokio::test]
async fn i3_a_hold_that_nobody_ended() {
    let copy = Copy::new().await;
    let frank = copy.booking("frank").await;
    let sql = format!("UPDATE bookings SET expires_at = expires_at - {HOUR} WHERE customer_id = 'frank'");
    copy.corrupt("booking", &sql).await;
    let sql = format!("DELETE FROM seat_claims WHERE booking_id = {}", booking_of("frank"));
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I3"], &frank);
}

#[tokio::test]
async fn i3_a_sold_booking_whose_money_never_comes() {
    let copy = Copy::new().await;
    let alice = copy.booking("alice").await;
    let sql =
        format!("UPDATE bookings SET captured = FALSE, updated_at = updated_at - {HOUR} WHERE customer_id = 'alice'");
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I3"], &alice);
}

#[tokio::test]
async fn i4_a_fact_that_counts_as_taken_but_took_no_effect() {
    let copy = Copy::new().await;
    let sql = "SELECT aggregate_id FROM inbox WHERE consumer = 'payment' ORDER BY fact_id LIMIT 1";
    let aggregate = copy.id("payment", sql).await;
    copy.corrupt("payment", "DELETE FROM inbox WHERE fact_id = (SELECT min(fact_id) FROM inbox)").await;

    copy.audit().assert_breaks(&["I4"], &aggregate);
}

#[tokio::test]
async fn i4_a_published_fact_that_was_never_taken() {
    let copy = Copy::new().await;
    let fact = copy.id("booking", "SELECT id FROM outbox ORDER BY position LIMIT 1").await;
    copy.corrupt("booking", &format!("UPDATE outbox SET occurred_at = occurred_at - {HOUR}")).await;
    let sql = "UPDATE inbox SET fact_id = $1 WHERE fact_id = $2";
    let values = [Uuid::now_v7().into(), Uuid::parse_str(&fact).unwrap().into()];
    copy.corrupt_with("payment", sql, values).await;

    copy.audit().assert_breaks(&["I4"], &fact);
}

#[tokio::test]
async fn i5_a_fact_that_waits_to_be_published() {
    let copy = Copy::new().await;
    let fact = copy.id("payment", "SELECT id FROM outbox ORDER BY position DESC LIMIT 1").await;
    let sql = format!(
        "UPDATE outbox SET published_at = NULL, occurred_at = occurred_at - {HOUR}
        WHERE position = (SELECT max(position) FROM outbox)"
    );
    copy.corrupt("payment", &sql).await;

    copy.audit().assert_breaks(&["I5"], &fact);
}

#[tokio::test]
async fn i5_a_consumer_before_the_beginning_of_its_log() {
    let copy = Copy::new().await;
    copy.corrupt("payment", "UPDATE consumer_offsets SET next_offset = -1 WHERE log_partition = 3").await;

    copy.audit().assert_breaks(&["I5"], "eventix.booking.v1/3");
}

#[tokio::test]
async fn i6_a_claim_that_outlived_its_hold() {
    let copy = Copy::new().await;
    let area = copy
        .id("booking", &format!("SELECT area_id FROM area_claims WHERE booking_id = {}", booking_of("grace")))
        .await;
    for table in ["area_claims", "bookings"] {
        let column = if table == "bookings" { "id" } else { "booking_id" };
        let sql =
            format!("UPDATE {table} SET expires_at = expires_at - {HOUR} WHERE {column} = {}", booking_of("grace"));
        copy.corrupt("booking", &sql).await;
    }

    let verdict = copy.audit();

    assert_eq!(verdict.broken(), ["I3", "I6"], "{:#}", verdict.report);
    assert_eq!(verdict.report["invariants"][5]["rows"][0]["id"], area);
}

#[tokio::test]
async fn i6_a_confirmed_seat_without_a_valid_ticket() {
    let copy = Copy::new().await;
    let item =
        copy.id("booking", &format!("SELECT id FROM booking_items WHERE booking_id = {}", booking_of("dave"))).await;
    let sql = format!("UPDATE tickets SET state = 'void' WHERE booking_id = {}", booking_of("dave"));
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I6"], &item);
}

#[tokio::test]
async fn i6_a_valid_ticket_of_a_cancelled_booking() {
    let copy = Copy::new().await;
    let ticket =
        copy.id("booking", &format!("SELECT id FROM tickets WHERE booking_id = {}", booking_of("carol"))).await;
    let sql = format!("UPDATE tickets SET state = 'valid' WHERE booking_id = {}", booking_of("carol"));
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I6"], &ticket);
}

#[tokio::test]
async fn i7_a_request_remembered_with_another_booking() {
    let copy = Copy::new().await;
    let frank = copy.booking("frank").await;
    let sql = "UPDATE requests SET answer = (SELECT answer FROM requests WHERE scope = 'hold/alice')
        WHERE scope = 'hold/frank'";
    copy.corrupt("booking", sql).await;

    let verdict = copy.audit();

    verdict.assert_breaks(&["I7"], "hold/frank hold");
    verdict.assert_breaks(&["I7"], &frank);
}

#[tokio::test]
async fn i7_a_request_without_an_answer() {
    let copy = Copy::new().await;
    let sql = format!("UPDATE requests SET answer = NULL, created_at = created_at - {HOUR} WHERE scope = 'pay/alice'");
    copy.corrupt("booking", &sql).await;

    copy.audit().assert_breaks(&["I7"], "pay/alice pay");
    let sql = "INSERT INTO requests (scope, request_id, fingerprint, created_at) VALUES ('any/boss', 'lost', '', 1)";
    for service in ["catalog", "payment"] {
        let copy = Copy::new().await;
        copy.corrupt(service, sql).await;
        copy.audit().assert_breaks(&["I7"], "any/boss lost");
    }
}

#[tokio::test]
async fn i8_a_transition_that_the_rules_do_not_know() {
    let copy = Copy::new().await;
    let erin = copy.booking("erin").await;
    copy.corrupt("booking", "UPDATE history SET from_state = 'CONFIRMED' WHERE to_state = 'RELEASED'").await;

    copy.audit().assert_breaks(&["I8"], &erin);
}

#[tokio::test]
async fn i8_a_history_that_ends_elsewhere() {
    let copy = Copy::new().await;
    let sql = "SELECT entity_id FROM history WHERE to_state = 'published' ORDER BY position LIMIT 1";
    let event = copy.id("catalog", sql).await;
    copy.corrupt("catalog", "DELETE FROM history WHERE to_state = 'published'").await;

    copy.audit().assert_breaks(&["I8"], &event);
}

#[tokio::test]
async fn i9_a_state_told_that_is_not_the_state_found() {
    let copy = Copy::new().await;
    let erin = copy.booking("erin").await;
    let sql = "UPDATE outbox SET kind = 'eventix.booking.v1.BookingExpired' WHERE kind = 'eventix.booking.v1.BookingReleased'";
    copy.corrupt("booking", sql).await;

    copy.audit().assert_breaks(&["I9"], &erin);
}

#[tokio::test]
async fn i9_a_gap_between_the_facts_told() {
    let copy = Copy::new().await;
    let alice = copy.id("payment", "SELECT aggregate_id FROM outbox ORDER BY position LIMIT 1").await;
    copy.corrupt("payment", "DELETE FROM outbox WHERE position = (SELECT min(position) FROM outbox)").await;

    copy.audit().assert_breaks(&["I9"], &alice);
}

#[tokio::test]
async fn i10_a_movement_that_does_not_balance() {
    let copy = Copy::new().await;
    let movement = copy.id("payment", "SELECT movement FROM ledger_entries WHERE cause = 'capture 2'").await;
    let sql =
        "UPDATE ledger_entries SET credit_minor = credit_minor + 1 WHERE cause = 'capture 2' AND credit_minor > 0";
    copy.corrupt("payment", sql).await;

    copy.audit().assert_breaks(&["I10"], &movement);
}

#[tokio::test]
async fn i10_a_total_that_its_items_do_not_add_up_to() {
    let copy = Copy::new().await;
    let frank = copy.booking("frank").await;
    copy.corrupt("booking", "UPDATE bookings SET places = 2 WHERE customer_id = 'frank'").await;

    copy.audit().assert_breaks(&["I10"], &frank);
}

#[tokio::test]
async fn people_see_the_invariant_and_its_row() {
    let copy = Copy::new().await;
    let frank = copy.booking("frank").await;
    copy.corrupt("booking", "UPDATE bookings SET places = 2 WHERE customer_id = 'frank'").await;

    let output = eventix(&["audit", "--data", copy.path(), "--patience", "0"]);

    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("\nI10 BROKEN by 1 of "), "{said}");
    assert!(said.contains(&format!("\n  booking.bookings {frank}: stores 2 places for ")), "{said}");
    assert!(said.ends_with("\naudit: 1 invariant broken\n"), "{said}");
}

#[tokio::test]
async fn what_is_right_at_the_second_look_is_not_reported() {
    let copy = Copy::new().await;
    let databases = copy.databases().await;
    copy.corrupt("booking", "UPDATE bookings SET places = 2 WHERE customer_id = 'frank'").await;

    let healing = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        copy.corrupt("booking", "UPDATE bookings SET places = 1 WHERE customer_id = 'frank'").await;
    };
    let (report, ()) = tokio::join!(eventix::audit::audit(&databases, eventix::audit::PATIENCE), healing);

    assert!(report.unwrap().ok);
}

#[tokio::test]
async fn without_databases_there_is_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();

    let nowhere = eventix(&["audit", "--data", "no/such/folder"]);
    let empty = eventix(&["audit", "--data", data]);

    for (output, said) in [(nowhere, "no/such/folder"), (empty, data)] {
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.lines().count() == 1 && error.starts_with("eventix: ") && error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_named() {
    let copy = Copy::new().await;
    let broken = std::path::Path::new(copy.path()).join("payment.db");
    let _ = fs::remove_file(broken.with_extension("db-wal"));
    fs::write(broken, "this is no database, however long one looks at it").unwrap();

    let output = eventix(&["audit", "--data", copy.path()]);

    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.lines().count() == 1 && error.contains("database of payment"), "{error}");
}
