//! What the provider tells unasked: believed when it is signed, taken in once, and never worth more than an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use common::clock::{Clock, ManualClock, SystemClock};
use common::ids::{BookingId, PaymentId, RefundId};
use common::runtime::Shutdown;
use common::testing::everything;
use common::testing::untidy::Draw;
use payment::application::listen::Listener;
use payment::application::ports::{Provider, ProviderEvent};
use payment::domain::{News, PaymentState, Reference, RefundState, StepKind, StepState};
use payment::infrastructure::callbacks::{CallbackApi, PATH};
use payment::infrastructure::provider::courier::Courier;
use payment::infrastructure::provider::signature::Secrets;
use payment::infrastructure::provider::simulated::{Callbacks, SimulatedProvider};
use payment::infrastructure::provider::wire::CallbackBody;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::scripted::{Reply, Scripted};
use crate::support::{World, confirmed, eur, give_back, on_both_databases, price, steps};

on_both_databases!(
    an_approval_told_by_callback_authorises,
    only_what_is_signed_in_time_is_believed,
    an_event_takes_effect_once,
    an_event_that_cannot_be_stored_must_be_told_again,
    approvals_nobody_waits_for_are_voided_and_never_told,
    money_under_an_unknown_reference_is_let_go,
    a_callback_before_the_response_is_enough,
    callbacks_are_delivered_until_they_are_taken,
    three_days_late_and_five_times_over_changes_nothing,
    callbacks_in_any_order_end_like_answers,
);

/// Payment's endpoint, and a provider's signature on what is sent there.
#[derive(Clone)]
struct Desk {
    api: Arc<CallbackApi>,
    secrets: Secrets,
    clock: Arc<ManualClock>,
}

impl Desk {
    fn of(world: &World, provider: Arc<dyn Provider>) -> Self {
        let (secrets, clock) = (Secrets::new(["secret"]), Arc::new(ManualClock::at(SystemClock.now())));
        let listener = Listener::new(world.store.clone(), provider, steps());
        Self { api: CallbackApi::new(listener, secrets.clone(), clock.clone()), secrets, clock }
    }

    /// Tells an event, signed as it should be.
    async fn tell(&self, event: &ProviderEvent) -> StatusCode {
        let body = body(event);
        self.api.take(Some(&self.secrets.sign(&body, self.clock.now())), &body).await
    }

    async fn news(&self, id: BookingId, attempt: u32, news: News) -> StatusCode {
        self.tell(&event(&uuid::Uuid::now_v7().to_string(), id, attempt, news)).await
    }

    /// Serves the endpoint; returns its address.
    async fn serve(&self, tasks: &mut JoinSet<anyhow::Result<()>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}{PATH}", listener.local_addr().unwrap());
        tasks.spawn(self.api.clone().serve(listener, Shutdown::new()));
        address
    }
}

fn body(event: &ProviderEvent) -> Vec<u8> {
    serde_json::to_vec(&CallbackBody::of(event, SystemClock.now())).unwrap()
}

fn event(event_id: &str, id: BookingId, attempt: u32, news: News) -> ProviderEvent {
    let reference = Reference::of(PaymentId::of(id), attempt).to_string();
    ProviderEvent { id: event_id.to_owned(), reference, news }
}

fn approved() -> News {
    News::Approved { amount: price() }
}

/// The simulated provider in payment's database, so that both clocks move together, and what it wants to tell.
async fn telling(world: &World) -> (Arc<SimulatedProvider>, Callbacks) {
    let (provider, callbacks) = SimulatedProvider::over(world.db.clone()).await.unwrap().telling();
    (Arc::new(provider), callbacks)
}

async fn an_approval_told_by_callback_authorises(world: World) {
    let desk = Desk::of(&world, Scripted::new([]));
    let id = world.requested("tok").await;

    assert_eq!(desk.news(id, 1, approved()).await, StatusCode::NO_CONTENT);

    let payment = world.payment(id).await;
    assert_eq!((payment.state, payment.steps[0].state), (PaymentState::Authorised, StepState::Done));
    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
    let actor = "SELECT count(*) FROM history WHERE actor = 'provider' AND to_state = 'authorised'";
    assert_eq!(world.number(actor).await, 1);
}

async fn only_what_is_signed_in_time_is_believed(world: World) {
    let desk = Desk::of(&world, Scripted::new([]));
    let id = world.requested("tok").await;
    let sent = body(&event("evt_1", id, 1, approved()));
    let signature = desk.secrets.sign(&sent, desk.clock.now());
    let other_amount = body(&event("evt_1", id, 1, News::Approved { amount: eur(1) }));
    let forged = Secrets::new(["guessed"]).sign(&sent, desk.clock.now());

    for (header, body) in [
        (None, &sent),
        (Some("hello"), &sent),
        (Some(forged.as_str()), &sent),
        (Some(signature.as_str()), &other_amount),
    ] {
        assert_eq!(desk.api.take(header, body).await, StatusCode::UNAUTHORIZED, "{header:?}");
    }
    desk.clock.pass(chrono::Duration::seconds(302));
    assert_eq!(desk.api.take(Some(&signature), &sent).await, StatusCode::UNAUTHORIZED, "too old");
    desk.clock.pass(chrono::Duration::seconds(-604));
    assert_eq!(desk.api.take(Some(&signature), &sent).await, StatusCode::UNAUTHORIZED, "from the future");
    for nonsense in
        [&b"no json"[..], b"{}", br#"{"id":"e","type":"charge.approved","reference":"x-1","created_at":""}"#]
    {
        let signature = desk.secrets.sign(nonsense, desk.clock.now());
        assert_eq!(desk.api.take(Some(&signature), nonsense).await, StatusCode::BAD_REQUEST);
    }
    let unheard_of = br#"{"id":"e","type":"charge.disputed","reference":"x-1","created_at":""}"#;
    let signature = desk.secrets.sign(unheard_of, desk.clock.now());
    assert_eq!(desk.api.take(Some(&signature), unheard_of).await, StatusCode::NO_CONTENT);

    assert_eq!(world.payment(id).await.state, PaymentState::Authorising);
    assert_eq!(world.number("SELECT count(*) FROM provider_events").await, 0);
}

async fn an_event_takes_effect_once(world: World) {
    let desk = Desk::of(&world, Scripted::new([]));
    let id = world.requested("tok").await;
    let told = event("evt_1", id, 1, approved());
    let mut telling = JoinSet::new();
    for _ in 0..5 {
        let (desk, told) = (desk.clone(), told.clone());
        telling.spawn(async move { desk.tell(&told).await });
    }

    let statuses = telling.join_all().await;

    assert_eq!(statuses, [StatusCode::NO_CONTENT; 5]);
    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
    assert_eq!(world.number("SELECT count(*) FROM provider_events WHERE effect = 'applied'").await, 1);
    // The same id with other news is the same event all the same.
    let other = ProviderEvent { news: News::Declined { code: "NO".to_owned() }, ..told };
    assert_eq!(desk.tell(&other).await, StatusCode::NO_CONTENT);
    assert_eq!(world.payment(id).await.state, PaymentState::Authorised);
}

async fn an_event_that_cannot_be_stored_must_be_told_again(world: World) {
    let desk = Desk::of(&world, Scripted::new([]));
    let id = world.requested("tok").await;
    let told = event("evt_1", id, 1, approved());
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        world.db.execute(world.db.writer(), sql, []).await.unwrap();
    };
    rename("outbox", "away").await;

    assert_eq!(desk.tell(&told).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.payment(id).await.state, PaymentState::Authorising);
    assert_eq!(world.number("SELECT count(*) FROM provider_events").await, 0, "event and effect are one");

    rename("away", "outbox").await;
    assert_eq!(desk.tell(&told).await, StatusCode::NO_CONTENT);
    assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
}

async fn approvals_nobody_waits_for_are_voided_and_never_told(world: World) {
    let provider = Scripted::new([Reply::No("CARD_DECLINED")]);
    let desk = Desk::of(&world, provider.clone());
    let id = world.requested("tok").await;
    let running = world.work(provider.clone());
    world.until(id, PaymentState::Declined).await;

    desk.news(id, 1, approved()).await;
    desk.news(id, 9, approved()).await;
    let voided = |payment: &payment::domain::Payment| {
        payment.steps.iter().filter(|s| s.kind() == StepKind::Void && s.state == StepState::Done).count() == 2
    };
    let payment = world.until_payment(id, voided).await;

    assert_eq!(payment.state, PaymentState::Declined);
    assert_eq!(world.told(id).await, ["PaymentDeclined"]);
    let calls = ["authorise", "void"].map(|call| format!("{call} {id}-1"));
    assert_eq!(provider.calls(), [&calls[..], &[format!("void {id}-9")]].concat());
    world.books_balance().await;
    running.stop().await;
}

async fn money_under_an_unknown_reference_is_let_go(world: World) {
    let (stranger, provider) = (BookingId::new(), Scripted::new([Reply::Break]));
    let desk = Desk::of(&world, provider.clone());
    let told = event("evt_1", stranger, 1, approved());

    assert_eq!(desk.tell(&told).await, StatusCode::SERVICE_UNAVAILABLE, "it could not be let go yet");
    assert_eq!(desk.tell(&told).await, StatusCode::NO_CONTENT);
    assert_eq!(desk.tell(&told).await, StatusCode::NO_CONTENT);
    let foreign = ProviderEvent { id: "evt_2".into(), reference: "order-7".into(), news: approved() };
    assert_eq!(desk.tell(&foreign).await, StatusCode::NO_CONTENT);

    assert_eq!(provider.calls(), [format!("void {stranger}-1"), format!("void {stranger}-1")]);
    assert_eq!(world.number("SELECT count(*) FROM provider_events WHERE effect = 'not_ours'").await, 2);
    assert_eq!(world.number("SELECT count(*) FROM payments").await, 0);
}

async fn a_callback_before_the_response_is_enough(world: World) {
    let (provider, callbacks) = telling(&world).await;
    let (desk, mut tasks) = (Desk::of(&world, provider.clone()), JoinSet::new());
    let target = desk.serve(&mut tasks).await;
    let courier = Courier::new(callbacks, &target, desk.secrets.clone(), desk.clock.clone()).unwrap();
    tasks.spawn(courier.run(Shutdown::new()));
    // The worker alone would wait for longer than the test: its first call is claimed and never answered.
    let ids = [world.requested("tok_callback_first").await, world.requested("tok_duplicate_callback").await];
    for (id, token) in ids.iter().zip(["tok_callback_first", "tok_duplicate_callback"]) {
        let (provider, reference) = (provider.clone(), Reference::of(PaymentId::of(*id), 1));
        tasks.spawn(async move {
            provider.authorise(&reference, price(), token).await?;
            Ok(())
        });
    }

    for id in ids {
        world.until(id, PaymentState::Authorised).await;
        assert_eq!(world.told(id).await, ["PaymentAuthorised"]);
    }
    let copies = "SELECT coalesce(sum(copies), 0) FROM provider_callbacks WHERE settled_at IS NULL";
    world.until_number(copies, 0).await;
    assert_eq!(world.number("SELECT count(*) FROM provider_events").await, 2);
}

async fn callbacks_are_delivered_until_they_are_taken(world: World) {
    let (provider, callbacks) = telling(&world).await;
    let desk = Desk::of(&world, provider.clone());
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let to = |target: &str| Courier::new(callbacks.clone(), target, desk.secrets.clone(), desk.clock.clone()).unwrap();
    let id = world.requested("tok").await;
    let reference = Reference::of(PaymentId::of(id), 1);
    provider.authorise(&reference, price(), "tok_approve_after_0").await.unwrap();

    let lost = to(&format!("http://{nowhere}/"));
    assert_eq!(lost.deliver().await.unwrap(), 1);
    assert_eq!(lost.deliver().await.unwrap(), 0, "not before its pause is over");
    for _ in 0..8 {
        world.db.shift_time(chrono::Duration::hours(1));
        assert_eq!(lost.deliver().await.unwrap(), 1);
    }
    let mut tasks = JoinSet::new();
    let target = desk.serve(&mut tasks).await;
    world.db.shift_time(chrono::Duration::hours(60));
    assert_eq!(to(&target).deliver().await.unwrap(), 1);

    assert_eq!(world.payment(id).await.state, PaymentState::Authorised);
    assert_eq!(world.number("SELECT count(*) FROM provider_callbacks WHERE taken = TRUE").await, 1);

    let other = Reference::of(PaymentId::new(), 1);
    provider.authorise(&other, price(), "tok_approve_after_0").await.unwrap();
    world.db.shift_time(chrono::Duration::hours(73));
    assert_eq!(lost.deliver().await.unwrap(), 1);
    world.db.shift_time(chrono::Duration::hours(2));
    assert_eq!(lost.deliver().await.unwrap(), 0, "after three days it is given up");
}

async fn three_days_late_and_five_times_over_changes_nothing(world: World) {
    let (provider, callbacks) = telling(&world).await;
    let desk = Desk::of(&world, provider.clone());
    let id = world.captured_with("tok_approve", provider.clone()).await;
    let refund = RefundId::new();
    let running = world.work(provider);
    world.tell(id, &give_back(id, refund, 2500)).await.unwrap();
    let refunded = world.until(id, PaymentState::Refunded).await;
    let told = world.told(id).await;

    world.db.shift_time(chrono::Duration::hours(71));
    desk.clock.pass(chrono::Duration::hours(71));
    let due = callbacks.take_up(Duration::from_secs(60)).await.unwrap();
    assert_eq!(due.len(), 3);
    for delivery in due.iter().rev().cycle().take(15) {
        assert_eq!(desk.tell(&delivery.event).await, StatusCode::NO_CONTENT);
    }

    assert_eq!(world.payment(id).await, refunded);
    assert_eq!(world.told(id).await, told);
    assert_eq!(world.number("SELECT count(*) FROM provider_events WHERE effect = 'none'").await, 3);
    world.books_balance().await;
    running.stop().await;
}

/// A payment's whole life in which nothing but shuffled, repeated callbacks says what happened.
async fn callbacks_in_any_order_end_like_answers(world: World) {
    for seed in 1..=if everything() { 40 } else { 4 } {
        callbacks_in_an_order_end_like_answers(&world, seed).await;
    }
    world.books_balance().await;
}

async fn callbacks_in_an_order_end_like_answers(world: &World, seed: u64) {
    let (provider, callbacks) = telling(world).await;
    let desk = Desk::of(world, provider.clone());
    let mut draw = Draw::of(seed);
    let (id, refunds) = (world.held().await, [RefundId::new(), RefundId::new()]);
    let reference = Reference::of(PaymentId::of(id), 1);
    let mut backlog: Vec<ProviderEvent> = Vec::new();
    // Each step is sent, its answer is lost, and old and new callbacks arrive shuffled, one to five times each.
    world.tell(id, &crate::support::pay(id, 1, "tok_approve")).await.unwrap();
    for step in 0..4 {
        match step {
            0 => {
                provider.authorise(&reference, price(), "tok_approve").await.unwrap();
            }
            1 => {
                world.tell(id, &confirmed(id, 1)).await.unwrap();
                provider.capture(&reference, price()).await.unwrap();
            }
            n => {
                let (refund, amount) = (refunds[n - 2], [1000, 1500][n - 2]);
                world.tell(id, &give_back(id, refund, amount)).await.unwrap();
                provider.refund(&reference, refund, eur(amount)).await.unwrap();
            }
        }
        world.db.shift_time(chrono::Duration::hours(i64::try_from(1 + draw.below(72)).unwrap()));
        backlog.extend(callbacks.take_up(Duration::from_secs(72 * 3600)).await.unwrap().into_iter().map(|d| d.event));
        for event in draw.untidy(&backlog) {
            assert_eq!(desk.tell(&event).await, StatusCode::NO_CONTENT, "seed {seed}");
        }
    }

    let payment = world.payment(id).await;
    assert_eq!((payment.state, payment.refunded_minor), (PaymentState::Refunded, 2500), "seed {seed}");
    assert!(payment.refunds.iter().all(|refund| refund.state == RefundState::Done), "seed {seed}");
    let told = ["PaymentAuthorised", "PaymentCaptured", "PaymentRefunded", "PaymentRefunded"];
    assert_eq!(world.told(id).await, told, "seed {seed}");
    let taken = format!("SELECT count(*) FROM provider_events WHERE reference LIKE '{id}-%'");
    assert_eq!(world.number(&taken).await, 4, "seed {seed}");
}
