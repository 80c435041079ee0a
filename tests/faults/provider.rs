//! A provider that is a process of its own: what it did and payment never recorded is found out, and its silence is loud.

use std::time::{Duration, Instant};

use common::auth::Role;
use serde_json::json;

use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan, Service};
use crate::harness::provider::Provider;
use crate::harness::proxy::Mood;
use crate::lane::{Lane, impatient};
use crate::{everything, report, stage};

/// Until a call has reached the provider, or an outcome is known again.
const SOON: Duration = Duration::from_secs(90);

/// What payment asks a provider for.
struct Question {
    /// The kind of its step, and of the entry in the provider's ledger.
    kind: &'static str,
    /// What its request says and no other one.
    request: &'static str,
    /// Where booking and payment stand once it is answered.
    end: (&'static str, &'static str),
}

/// In the order in which one booking asks them.
const QUESTIONS: [Question; 3] = [
    Question { kind: "authorise", request: "POST /v1/charges HTTP", end: ("CONFIRMED", "CAPTURED") },
    Question { kind: "capture", request: "/capture HTTP", end: ("CONFIRMED", "CAPTURED") },
    Question { kind: "refund", request: "/refunds HTTP", end: ("CANCELLED", "REFUNDED") },
];

impl Question {
    /// Has a customer do what makes payment ask, and returns the booking.
    async fn provoke(&self, lane: &Lane, provider: &Provider) -> String {
        let booking = stage::hold(&lane.shop, &lane.event, self.kind, &lane.event.seat()).await;
        if self.kind == "refund" {
            stage::pay(&lane.shop, self.kind, &booking, "tok_approve").await;
            self.until(lane, &booking, ("CONFIRMED", "CAPTURED")).await;
            provider.calls.keep_answer_to(self.request);
            stage::cancel(&lane.shop, self.kind, &booking).await;
        } else {
            provider.calls.keep_answer_to(self.request);
            stage::pay(&lane.shop, self.kind, &booking, "tok_approve").await;
        }
        booking
    }

    async fn until(&self, lane: &Lane, booking: &str, (state, payment): (&str, &str)) {
        lane.shop.until(self.kind, booking, state).await;
        lane.shop.until_payment(self.kind, booking, payment).await;
    }

    /// How often the provider did it for a booking.
    async fn done_by_provider(&self, lane: &Lane, booking: &str) -> i64 {
        let sql = format!(
            "SELECT CAST(count(*) AS bigint) AS n FROM provider_entries
             WHERE kind = '{}' AND reference LIKE '{booking}-%'",
            self.kind
        );
        lane.mesh.databases.count_in_ledger(&sql).await
    }

    /// How often payment has recorded it for a booking.
    async fn recorded_by_payment(&self, lane: &Lane, booking: &str) -> i64 {
        let sql = format!(
            "SELECT CAST(count(*) AS bigint) AS n FROM provider_steps
             WHERE kind = '{}' AND payment_id = '{booking}' AND state NOT IN ('pending', 'unknown')",
            self.kind
        );
        lane.mesh.databases.count(Service::Payment, &sql).await
    }
}

/// Kills payment each time the provider has done what it was asked for and its answer is on the way.
async fn kill_between_done_and_recorded(provider: &Provider, lane: &mut Lane, tells: bool) {
    for question in &QUESTIONS {
        let kind = question.kind;
        let caught = provider.calls.answers_caught();
        if tells {
            provider.callbacks.turn(Mood::Cut);
        }
        let booking = question.provoke(lane, provider).await;
        eventually(&format!("the answer to {kind}"), SOON, async || {
            (provider.calls.answers_caught() > caught).then_some(())
        })
        .await;
        lane.mesh.node(Service::Payment).kill9().await;
        let killed = Instant::now();
        provider.calls.turn(Mood::Open);
        assert_eq!(question.done_by_provider(lane, &booking).await, 1, "the provider did not {kind}");
        assert_eq!(question.recorded_by_payment(lane, &booking).await, 0, "payment recorded {kind} before it died");

        if tells {
            provider.callbacks.turn(Mood::Open);
        }
        lane.mesh.node(Service::Payment).start().await;
        question.until(lane, &booking, question.end).await;

        let converged = killed.elapsed();
        for once in QUESTIONS.iter().take_while(|question| question.kind != "refund" || kind == "refund") {
            assert_eq!(once.done_by_provider(lane, &booking).await, 1, "{} after a kill at {kind}", once.kind);
        }
        let charges =
            format!("SELECT CAST(count(*) AS bigint) AS n FROM provider_charges WHERE reference LIKE '{booking}-%'");
        assert_eq!(lane.mesh.databases.count_in_ledger(&charges).await, 1, "charged again under another reference");
        let told = if tells { "told by callback" } else { "asked again" };
        let struck = format!("payment killed between {kind} and its record, {told}");
        lane.assert_clean(&struck).await;
        report(&struck, 1, converged);
    }
}

#[tokio::test]
async fn payment_killed_between_done_and_recorded_asks_again_and_nothing_is_done_twice() {
    let more = everything().then(Databases::sqlite);
    for databases in [Databases::postgres().await].into_iter().chain(more) {
        let provider = Provider::start_mute(&databases).await;
        let mut lane = Lane::open(provider.used_by(impatient(Plan::on(databases)))).await;

        kill_between_done_and_recorded(&provider, &mut lane, false).await;
    }
}

#[tokio::test]
async fn payment_killed_between_done_and_recorded_is_told_by_callback_what_became_of_it() {
    let databases = Databases::postgres().await;
    let provider = Provider::start(&databases).await;
    let plan = impatient(Plan::on(databases)).with("EVENTIX_PAYMENT__PROVIDER__TIMEOUT", "5s");
    let mut lane = Lane::open(provider.used_by(plan)).await;

    kill_between_done_and_recorded(&provider, &mut lane, true).await;
    let heard = "SELECT CAST(count(*) AS bigint) AS n FROM provider_events WHERE effect <> 'none'";
    assert!(lane.mesh.databases.count(Service::Payment, heard).await > 0, "no callback was worth anything");
}

#[tokio::test]
async fn a_provider_that_stays_silent_raises_an_alarm_until_it_speaks() {
    let databases = Databases::postgres().await;
    let provider = Provider::start_mute(&databases).await;
    let plan = impatient(Plan::on(databases)).with("EVENTIX_PAYMENT__UNKNOWN_ALARM", "3s");
    let mut lane = Lane::open(provider.used_by(plan)).await;
    let seat = lane.event.seat();
    let booking = stage::hold(&lane.shop, &lane.event, "alice", &seat).await;
    provider.calls.turn(Mood::Frozen);

    stage::pay(&lane.shop, "alice", &booking, "tok_approve").await;
    let payment = lane.mesh.node(Service::Payment);
    eventually("the alarm, and once more", SOON, async || {
        (payment.metric("eventix_payment_alarms_total", "unknown").await >= Some(2.0)).then_some(())
    })
    .await;

    assert_eq!(payment.metric("eventix_payments_unknown", "authorise").await, Some(1.0));
    assert!(payment.metric("eventix_payments_unknown_oldest_seconds", "all").await >= Some(3.0));
    let waiting = lane.shop.booking("alice", &booking).await;
    assert_eq!((&waiting["state"], &waiting["payment"]["state"]), (&json!("PAYING"), &json!("UNKNOWN")));
    let taken = json!({"eventId": lane.event.id, "seatIds": [seat], "areas": [], "idempotencyKey": "bob"});
    let hold = "mutation($input: HoldSeatsInput!) { holdSeats(input: $input) { userErrors { code } } }";
    let refused = lane.shop.data(Some(("bob", Role::Customer)), hold, json!({"input": taken})).await;
    assert_eq!(refused["holdSeats"]["userErrors"][0]["code"], "SEATS_TAKEN", "{refused}");

    provider.calls.turn(Mood::Open);
    let spoke = Instant::now();
    lane.shop.until("alice", &booking, "CONFIRMED").await;
    lane.shop.until_payment("alice", &booking, "CAPTURED").await;
    let converged = spoke.elapsed();
    let payment = lane.mesh.node(Service::Payment);
    eventually("nothing is unknown any more", SOON, async || {
        (payment.metric("eventix_payments_unknown", "authorise").await == Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(QUESTIONS[0].done_by_provider(&lane, &booking).await, 1);
    lane.assert_clean("a silent provider").await;
    report("the provider silent for two alarms", 1, converged);
}
