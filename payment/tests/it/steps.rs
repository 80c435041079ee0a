//! The step worker against a provider that answers, hangs, breaks and lies.

use std::sync::Arc;
use std::time::Duration;

use common::ids::{PaymentId, RefundId};
use payment::application::ports::{Answer, PaymentStore, Provider, Standing};
use payment::domain::{PaymentState, Reference, RefundState, StepKind, StepState};
use payment::infrastructure::provider::simulated::SimulatedProvider;

use crate::scripted::{Reply, Scripted};
use crate::support::{
    GIVE_UP, World, confirmed, eur, expired, give_back, on_both_databases, pay, price, sqlite_url, void,
};

on_both_databases!(
    a_payment_goes_all_the_way_and_back,
    a_decline_is_told_and_a_second_attempt_succeeds,
    an_authorisation_is_voided,
    a_timeout_is_asked_until_approved,
    a_timeout_is_asked_until_declined,
    a_reference_not_found_is_sent_again,
    an_unreachable_provider_is_never_a_decline,
    another_amount_is_never_believed,
    an_authorisation_unknown_for_a_day_is_given_up,
    a_crash_while_giving_up_ends_in_the_same_decline,
    an_outcome_unknown_for_too_long_raises_an_alarm_again_and_again,
    a_capture_without_an_answer_is_found_by_its_status,
    a_refund_without_an_answer_is_found_by_its_status,
    a_failed_capture_is_told_and_its_refund_closes,
    a_refund_refused_too_often_is_stuck,
    a_crash_between_asking_and_recording_charges_once,
    an_outcome_under_a_lost_claim_is_dropped,
    one_hanging_payment_does_not_hold_up_others,
    two_workers_share_the_work,
);

async fn a_payment_goes_all_the_way_and_back(world: World) {
    let provider = Scripted::new([]);
    let id = world.captured(provider.clone()).await;
    let running = world.work(provider.clone());
    world.tell(id, &give_back(id, RefundId::new(), 2500)).await.unwrap();

    let payment = world.until(id, PaymentState::Refunded).await;

    assert_eq!((payment.captured_minor, payment.refunded_minor), (2500, 2500));
    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptured", "PaymentRefunded"]);
    assert_eq!(provider.calls(), ["authorise", "capture", "refund"].map(|call| format!("{call} {id}-1")));
    world.books_balance().await;
    running.stop().await;
}

async fn a_decline_is_told_and_a_second_attempt_succeeds(world: World) {
    let provider = Scripted::new([Reply::No("CARD_DECLINED")]);
    let id = world.requested("tok").await;
    let running = world.work(provider.clone());
    let declined = world.until(id, PaymentState::Declined).await;
    assert_eq!(declined.decline_code.as_deref(), Some("CARD_DECLINED"));

    world.tell(id, &pay(id, 2, "tok")).await.unwrap();
    world.until(id, PaymentState::Authorised).await;

    assert_eq!(world.told(id).await, ["PaymentDeclined", "PaymentAuthorised"]);
    assert_eq!(provider.calls(), [format!("authorise {id}-1"), format!("authorise {id}-2")]);
    running.stop().await;
}

async fn an_authorisation_is_voided(world: World) {
    let id = world.requested("tok").await;
    let running = world.work(Scripted::new([Reply::Yes, Reply::No("TRY_LATER")]));
    world.until(id, PaymentState::Authorised).await;
    world.tell(id, &void(id, 1)).await.unwrap();
    world.tell(id, &expired(id)).await.unwrap();

    world.until(id, PaymentState::Voided).await;

    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentVoided"]);
    let held = "SELECT sum(debit_minor) - sum(credit_minor) FROM ledger_entries WHERE account = 'authorised'";
    assert_eq!(world.number(held).await, 0);
    running.stop().await;
}

async fn a_timeout_is_asked_until_approved(world: World) {
    let provider = Scripted::new([Reply::Hang, Reply::Pending, Reply::Break, Reply::Approved]);
    let id = world.requested("tok").await;
    let running = world.work(provider.clone());

    let payment = world.until(id, PaymentState::Authorised).await;

    assert_eq!(payment.steps[0].tries, 4);
    assert_eq!(provider.calls(), ["authorise", "status", "status", "status"].map(|call| format!("{call} {id}-1")));
    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
    running.stop().await;
}

async fn a_timeout_is_asked_until_declined(world: World) {
    let id = world.requested("tok").await;
    let running = world.work(Scripted::new([Reply::Hang, Reply::Declined("CARD_DECLINED")]));

    world.until(id, PaymentState::Declined).await;

    assert_eq!(world.told(id).await, ["PaymentDeclined"]);
    running.stop().await;
}

async fn a_reference_not_found_is_sent_again(world: World) {
    let provider = Scripted::new([Reply::Hang, Reply::NotFound, Reply::Yes]);
    let id = world.requested("tok").await;
    let running = world.work(provider.clone());

    world.until(id, PaymentState::Authorised).await;

    assert_eq!(provider.calls(), ["authorise", "status", "authorise"].map(|call| format!("{call} {id}-1")));
    running.stop().await;
}

async fn an_unreachable_provider_is_never_a_decline(world: World) {
    let id = world.requested("tok").await;
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::Break, 500)));
    let asked = world.until_payment(id, |payment| payment.steps[0].tries >= 6).await;
    assert_eq!((asked.state, asked.steps[0].state), (PaymentState::Authorising, StepState::Unknown));
    assert!(world.told(id).await.is_empty());
    running.stop().await;

    let running = world.work(Scripted::new([Reply::Approved]));

    world.until(id, PaymentState::Authorised).await;
    running.stop().await;
}

async fn another_amount_is_never_believed(world: World) {
    let other = Reply::ApprovedFor(eur(2400));
    let id = world.requested("tok").await;
    let running = world.work(Scripted::new(std::iter::once(Reply::Hang).chain(std::iter::repeat_n(other, 500))));

    let asked = world.until_payment(id, |payment| payment.steps[0].tries >= 4).await;
    assert_eq!((asked.state, asked.steps[0].state), (PaymentState::Authorising, StepState::Unknown));
    assert!(world.told(id).await.is_empty());
    running.stop().await;
    assert_eq!(world.number("SELECT count(*) FROM ledger_entries").await, 0);
}

async fn an_authorisation_unknown_for_a_day_is_given_up(world: World) {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(SimulatedProvider::open(&sqlite_url(&folder, "provider")).await.unwrap());
    let id = world.requested("tok_approve_after_86400").await;
    let running = world.work(provider.clone());
    world.until_payment(id, |payment| payment.steps[0].state == StepState::Unknown).await;

    world.db.shift_time(chrono::Duration::from_std(GIVE_UP).unwrap() - chrono::Duration::minutes(1));
    world.until_payment(id, |payment| payment.steps[0].tries >= 4).await;
    assert_eq!(world.payment(id).await.state, PaymentState::Authorising);
    world.db.shift_time(chrono::Duration::minutes(2));
    let declined = world.until(id, PaymentState::Declined).await;

    assert_eq!(declined.decline_code.as_deref(), Some("GIVEN_UP"));
    assert_eq!(world.told(id).await, ["PaymentDeclined"]);
    let charge = provider.status(&Reference::of(PaymentId::of(id), 1)).await.unwrap().unwrap();
    assert!(charge.voided, "whatever the provider decides now, no money is held");
    running.stop().await;
}

async fn a_crash_while_giving_up_ends_in_the_same_decline(world: World) {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(SimulatedProvider::open(&sqlite_url(&folder, "provider")).await.unwrap());
    let id = world.requested("tok_timeout_then_approved").await;
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::Break, 500)));
    world.until_payment(id, |payment| payment.steps[0].state == StepState::Unknown).await;
    running.stop().await;
    // The provider approved and then voided; nobody lived to record it.
    let reference = Reference::of(PaymentId::of(id), 1);
    let call = provider.authorise(&reference, price(), "tok_timeout_then_approved");
    assert!(tokio::time::timeout(Duration::from_millis(300), call).await.is_err());
    assert_eq!(provider.void(&reference).await, Ok(Answer::Done));

    let running = world.work(provider);
    let declined = world.until(id, PaymentState::Declined).await;

    assert_eq!(declined.decline_code.as_deref(), Some("GIVEN_UP"));
    assert_eq!(world.told(id).await, ["PaymentDeclined"]);
    running.stop().await;
}

async fn an_outcome_unknown_for_too_long_raises_an_alarm_again_and_again(world: World) {
    let patience = Duration::from_secs(600);
    let alarms = async || world.store.alarm_unknown(patience).await.unwrap();
    let id = world.requested("tok").await;
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::Break, 500)));
    world.until_payment(id, |payment| payment.steps[0].state == StepState::Unknown).await;
    running.stop().await;
    assert!(alarms().await.is_empty());

    world.db.shift_time(chrono::Duration::seconds(601));
    let raised = alarms().await;
    assert_eq!((raised.len(), raised[0].payment_id, raised[0].kind), (1, PaymentId::of(id), StepKind::Authorise));
    assert!(raised[0].age >= patience && raised[0].reason.contains("connection reset"), "{raised:?}");
    assert!(alarms().await.is_empty(), "one alarm per round");
    world.db.shift_time(chrono::Duration::seconds(601));
    assert_eq!(alarms().await.len(), 1);

    let standing = world.store.standing().await.unwrap();
    assert_eq!(standing.unknown[&StepKind::Authorise], 1);
    assert!(standing.oldest_unknown.unwrap() >= patience * 2);
    let running = world.work(Scripted::new([Reply::Approved]));
    world.until(id, PaymentState::Authorised).await;
    running.stop().await;
    world.db.shift_time(chrono::Duration::seconds(601));
    assert!(alarms().await.is_empty());
    assert_eq!(world.store.standing().await.unwrap(), Standing::default());
}

async fn a_capture_without_an_answer_is_found_by_its_status(world: World) {
    let provider = Scripted::new([Reply::Yes, Reply::Hang, Reply::Captured(Vec::new())]);

    let id = world.captured(provider.clone()).await;

    assert_eq!(provider.calls(), ["authorise", "capture", "status"].map(|call| format!("{call} {id}-1")));
    world.books_balance().await;
}

async fn a_refund_without_an_answer_is_found_by_its_status(world: World) {
    let id = world.captured(Scripted::new([])).await;
    let refund = RefundId::new();
    let provider =
        Scripted::new([Reply::Hang, Reply::Captured(Vec::new()), Reply::Break, Reply::Captured(vec![refund])]);
    let running = world.work(provider.clone());
    world.tell(id, &give_back(id, refund, 2500)).await.unwrap();

    world.until(id, PaymentState::Refunded).await;

    let calls = ["refund", "status", "refund", "status"].map(|call| format!("{call} {id}-1"));
    assert_eq!(provider.calls(), calls);
    world.books_balance().await;
    running.stop().await;
}

async fn a_failed_capture_is_told_and_its_refund_closes(world: World) {
    let id = world.requested("tok").await;
    let running = world.work(Scripted::new([Reply::Yes]));
    world.until(id, PaymentState::Authorised).await;
    running.stop().await;
    world.tell(id, &confirmed(id, 1)).await.unwrap();
    world.tell(id, &give_back(id, RefundId::new(), 2500)).await.unwrap();
    let running = world.work(Scripted::new([Reply::No("EXPIRED")]));

    let closed = world.until(id, PaymentState::Closed).await;

    assert_eq!(closed.refunds[0].state, RefundState::NothingToRefund);
    assert_eq!(world.told(id).await, ["PaymentAuthorised", "PaymentCaptureFailed", "PaymentRefunded"]);
    world.books_balance().await;
    running.stop().await;
}

async fn a_refund_refused_too_often_is_stuck(world: World) {
    let id = world.captured(Scripted::new([])).await;
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::No("TRY_LATER"), 3)));
    let (stuck, next) = (RefundId::new(), RefundId::new());
    world.tell(id, &give_back(id, stuck, 1000)).await.unwrap();
    world.tell(id, &give_back(id, next, 1500)).await.unwrap();

    let payment = world.until(id, PaymentState::PartlyRefunded).await;

    assert_eq!(payment.refund(stuck).map(|r| r.state), Some(RefundState::Stuck));
    assert_eq!(payment.refund(next).map(|r| r.state), Some(RefundState::Done));
    assert_eq!(world.told(id).await[2..], ["PaymentStuck", "PaymentRefunded"]);
    running.stop().await;
}

async fn a_crash_between_asking_and_recording_charges_once(world: World) {
    let folder = tempfile::tempdir().unwrap();
    let provider = Arc::new(SimulatedProvider::open(&sqlite_url(&folder, "provider")).await.unwrap());
    let id = world.requested("tok_approve").await;
    let claim = world.store.claim(1, Duration::from_secs(60)).await.unwrap().remove(0);
    let answer = provider.authorise(&claim.reference(), claim.step.amount, "tok_approve").await;
    assert_eq!(answer, Ok(Answer::Done));
    assert_eq!(world.payment(id).await.state, PaymentState::Authorising);

    // The answer is lost with its process; the next life takes the claim over at once.
    let running = world.work(provider);
    world.until(id, PaymentState::Authorised).await;

    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
    let db = common::db::Db::connect(&sqlite_url(&folder, "provider"), 1).await.unwrap();
    let rows = db.query(db.reader(), "SELECT reference FROM provider_entries", []).await.unwrap();
    let references: Vec<String> = rows.iter().map(|r| r.try_get("", "reference").unwrap()).collect();
    assert_eq!(references, [format!("{id}-1")]);
    running.stop().await;
}

async fn an_outcome_under_a_lost_claim_is_dropped(world: World) {
    let id = world.requested("tok").await;
    let (first, second) = (Scripted::new([Reply::No("CARD_DECLINED")]), Scripted::new([]));
    let lost = world.store.claim(1, Duration::from_secs(60)).await.unwrap().remove(0);
    world.db.shift_time(chrono::Duration::seconds(61));
    let other = world.another("two");
    let mine = other.store.claim(1, Duration::from_secs(60)).await.unwrap().remove(0);

    world.worker(first).work(lost).await;
    assert_eq!(world.payment(id).await.state, PaymentState::Authorising);
    other.worker(second).work(mine).await;

    assert_eq!(world.payment(id).await.state, PaymentState::Authorised);
    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
}

async fn one_hanging_payment_does_not_hold_up_others(world: World) {
    let hanging = world.requested("tok").await;
    let provider = Scripted::new(std::iter::once(Reply::Hang));
    let running = world.work(provider.clone());
    world.until_payment(hanging, |payment| payment.steps[0].tries == 1).await;

    let other = world.requested("tok").await;
    world.until(other, PaymentState::Authorised).await;

    running.kill().await;
}

async fn two_workers_share_the_work(world: World) {
    let provider = Scripted::new([]);
    let other = world.another("two");
    let workers = [world.work(provider.clone()), other.work(provider.clone())];
    let mut bookings = Vec::new();
    for _ in 0..30 {
        bookings.push(world.requested("tok").await);
    }

    for id in &bookings {
        world.until(*id, PaymentState::Authorised).await;
    }

    let mut calls = provider.calls();
    assert_eq!(calls.len(), 30);
    calls.sort_unstable();
    calls.dedup();
    assert_eq!(calls.len(), 30);
    for worker in workers {
        worker.stop().await;
    }
}
