//! `PaymentService` over real gRPC: who may see what, and what unknown and stuck look like.

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::error::Refused;
use common::fact::Fact;
use common::fact_service::FactApi;
use common::grpc::{Caller, MeshChannel, Server, bind};
use common::ids::{BookingId, RefundId};
use common::proto::common::v1::ListFactsRequest;
use common::proto::common::v1::fact_service_client::FactServiceClient;
use common::proto::payment::v1::payment_service_client::PaymentServiceClient;
use common::proto::payment::v1::payment_service_server::PaymentServiceServer;
use common::proto::payment::v1::{
    BatchGetPaymentsRequest, GetPaymentRequest, ListStuckPaymentsRequest, ListStuckPaymentsResponse, Payment,
    PaymentState as WireState, RetryRefundRequest, RetryVoidRequest, StuckStep,
};
use common::runtime::Shutdown;
use payment::domain::{PaymentState, StepState};
use payment::infrastructure::grpc::{ACCESS, PaymentApi, SERVICE_NAME};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::scripted::{Reply, Scripted};
use crate::support::{World, give_back, on_both_databases, void};

on_both_databases!(
    customers_see_their_own_payments_alone,
    unknown_and_stuck_are_shown,
    facts_are_served_to_services_in_order,
    what_is_stuck_is_listed_and_a_retry_heals_it,
    a_retry_is_done_once_per_request_id_and_only_for_what_is_stuck,
    a_stuck_void_is_retried_too,
);

#[derive(Clone)]
struct Api {
    client: PaymentServiceClient<MeshChannel>,
    facts: FactServiceClient<MeshChannel>,
    issuer: Arc<DevIssuer>,
    _server: Arc<JoinSet<anyhow::Result<()>>>,
}

impl Api {
    async fn of(world: &World) -> Self {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let api = PaymentApi::new(world.db.clone(), world.store.clone());
        let server = Server::new("payment", issuer.verifier().unwrap(), ACCESS)
            .add(PaymentServiceServer::new(api))
            .add(FactApi::service(world.outbox.clone()));
        let mut task = JoinSet::new();
        task.spawn(server.serve(listener, SERVICE_NAME, Shutdown::new()));
        let channel = MeshChannel::new("payment", [address]).unwrap();
        let (client, facts) = (PaymentServiceClient::new(channel.clone()), FactServiceClient::new(channel));
        Self { client, facts, issuer, _server: Arc::new(task) }
    }

    fn request<T>(&self, user: &str, role: Role, message: T) -> tonic::Request<T> {
        let token = self.issuer.mint(user, role).unwrap();
        Caller::user(&token, Instant::now() + Duration::from_secs(10)).request(message)
    }

    async fn get(&self, user: &str, role: Role, id: &str) -> Result<Payment, Status> {
        let request = self.request(user, role, GetPaymentRequest { booking_id: id.to_owned() });
        Ok(self.client.clone().get_payment(request).await?.into_inner().payment.unwrap())
    }

    async fn batch(&self, user: &str, role: Role, ids: &[String]) -> Result<Vec<Payment>, Status> {
        let request = self.request(user, role, BatchGetPaymentsRequest { booking_ids: ids.to_vec() });
        Ok(self.client.clone().batch_get_payments(request).await?.into_inner().payments)
    }

    async fn stuck(&self, page_size: u32, page_token: &str) -> ListStuckPaymentsResponse {
        let message = ListStuckPaymentsRequest { page_size, page_token: page_token.to_owned() };
        let request = self.request("box office", Role::Admin, message);
        self.client.clone().list_stuck_payments(request).await.unwrap().into_inner()
    }

    async fn retry_refund(&self, refund_id: &str, booking_id: &str, request_id: &str) -> Result<Payment, Status> {
        let message = RetryRefundRequest {
            refund_id: refund_id.to_owned(),
            booking_id: booking_id.to_owned(),
            request_id: request_id.to_owned(),
        };
        let request = self.request("box office", Role::Admin, message);
        Ok(self.client.clone().retry_refund(request).await?.into_inner().payment.unwrap())
    }

    async fn state(&self, id: BookingId) -> WireState {
        self.get("alice", Role::Customer, &id.to_string()).await.unwrap().state()
    }
}

async fn customers_see_their_own_payments_alone(world: World) {
    let api = Api::of(&world).await;
    let id = world.captured(Scripted::new([])).await.to_string();
    let nowhere = BookingId::new().to_string();

    let payment = api.get("alice", Role::Customer, &id).await.unwrap();
    assert_eq!((payment.booking_id.as_str(), payment.state()), (id.as_str(), WireState::Captured));
    assert_eq!((payment.captured_minor, payment.amount.unwrap().currency.as_str()), (2500, "EUR"));
    for (user, role) in [("box office", Role::Admin), ("booking", Role::Service)] {
        assert!(api.get(user, role, &id).await.is_ok());
    }

    let mut refusals = Vec::new();
    for asked in [id.as_str(), nowhere.as_str(), "no id"] {
        let refusal = api.get("mallory", Role::Customer, asked).await.unwrap_err();
        refusals.push((refusal.code(), Refused::of(&refusal)));
    }
    assert_eq!((refusals[0].0, refusals[0].1.reason.as_str()), (Code::NotFound, "NOT_FOUND"));
    refusals.dedup();
    assert_eq!(refusals.len(), 1);

    let ids = [id.clone(), nowhere, "no id".to_owned()];
    assert_eq!(api.batch("alice", Role::Customer, &ids).await.unwrap().len(), 1);
    assert!(api.batch("mallory", Role::Customer, &ids).await.unwrap().is_empty());
    assert!(api.batch("alice", Role::Customer, &[]).await.unwrap().is_empty());
    let too_many = api.batch("alice", Role::Customer, &vec![id; 101]).await.unwrap_err();
    assert_eq!(Refused::of(&too_many).field.as_deref(), Some("booking_ids"));
}

async fn unknown_and_stuck_are_shown(world: World) {
    let api = Api::of(&world).await;
    let id = world.captured(Scripted::new([])).await;
    world.tell(id, &give_back(id, RefundId::new(), 2500)).await.unwrap();
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::No("TRY_LATER"), 3)));
    world.until_payment(id, |payment| payment.steps[2].state == StepState::Stuck).await;
    running.stop().await;

    assert_eq!(api.state(id).await, WireState::Stuck);
    assert_eq!(world.payment(id).await.state, PaymentState::Captured);

    let id = world.requested("tok").await;
    assert_eq!(api.state(id).await, WireState::Authorising);
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::Break, 500)));
    world.until_payment(id, |payment| payment.steps[0].state == StepState::Unknown).await;
    running.stop().await;

    assert_eq!(api.state(id).await, WireState::Unknown);
}

async fn facts_are_served_to_services_in_order(world: World) {
    let api = Api::of(&world).await;
    let id = world.captured(Scripted::new([])).await;
    let list = |aggregate_id: String, after_sequence| ListFactsRequest {
        aggregate_id,
        after_sequence,
        after_position: 0,
        page_size: 10,
    };

    let request = api.request("alice", Role::Customer, list(id.to_string(), 0));
    assert_eq!(api.facts.clone().list_facts(request).await.unwrap_err().code(), Code::PermissionDenied);

    let request = api.request("booking", Role::Service, list(id.to_string(), 1));
    let page = api.facts.clone().list_facts(request).await.unwrap().into_inner();
    let facts: Vec<Fact> = page.records.iter().map(|r| Fact::decode(&r.value, Default::default()).unwrap()).collect();
    assert_eq!(
        facts.iter().map(|f| (f.sequence, f.kind.as_str())).collect::<Vec<_>>(),
        [(2, "eventix.payment.v1.PaymentCaptured")]
    );

    let request = api.request("booking", Role::Service, list(String::new(), 0));
    let all = api.facts.clone().list_facts(request).await.unwrap().into_inner();
    assert_eq!((all.records.len(), all.has_more), (2, false));
}

/// A refund that the provider refused too often.
async fn stuck_refund(world: &World) -> (BookingId, RefundId) {
    let (id, refund) = (world.captured(Scripted::new([])).await, RefundId::new());
    world.tell(id, &give_back(id, refund, 2500)).await.unwrap();
    let running = world.work(Scripted::new(std::iter::repeat_n(Reply::No("TRY_LATER"), 3)));
    world.until_payment(id, |payment| payment.steps[2].state == StepState::Stuck).await;
    running.stop().await;
    (id, refund)
}

async fn what_is_stuck_is_listed_and_a_retry_heals_it(world: World) {
    let api = Api::of(&world).await;
    let (first, second) = (stuck_refund(&world).await, stuck_refund(&world).await);

    let page = api.stuck(1, "").await;
    let rest = api.stuck(100, &page.tokens[0]).await;
    assert_eq!((page.has_more, rest.has_more, rest.payments.len()), (true, false, 1));
    let (stuck, next) = (&page.payments[0], &rest.payments[0]);
    assert_eq!((stuck.refund_id.clone(), next.refund_id.clone()), (first.1.to_string(), second.1.to_string()));
    assert_eq!((stuck.step(), stuck.tries, stuck.reason.as_str()), (StuckStep::Refund, 3, "TRY_LATER"));
    assert_eq!(stuck.payment.as_ref().map(|p| p.booking_id.clone()), Some(first.0.to_string()));
    assert_eq!(stuck.amount.as_ref().map(|amount| amount.amount_minor), Some(2500));
    assert!(stuck.since.is_some());

    let again = api.retry_refund(&first.1.to_string(), "", "again").await.unwrap();
    assert_eq!(again.state(), WireState::Captured);
    let running = world.work(Scripted::new([]));
    world.until(first.0, PaymentState::Refunded).await;

    assert_eq!(api.stuck(100, "").await.payments.len(), 1);
    let told = ["PaymentAuthorised", "PaymentCaptured", "PaymentStuck", "PaymentRefunded"];
    assert_eq!(world.told(first.0).await, told);
    let audited =
        "SELECT count(*) FROM history WHERE entity = 'refund' AND from_state = 'stuck' AND to_state = 'pending'
        AND actor = 'box office' AND cause = 'retryRefund'";
    assert_eq!(world.number(audited).await, 1);
    world.books_balance().await;
    running.stop().await;
}

async fn a_retry_is_done_once_per_request_id_and_only_for_what_is_stuck(world: World) {
    let api = Api::of(&world).await;
    let (id, refund) = stuck_refund(&world).await;
    let (id, refund, stranger) = (id.to_string(), refund.to_string(), BookingId::new().to_string());
    let code = |refused: Result<Payment, Status>| Refused::of(&refused.unwrap_err()).reason;
    for (refund, booking) in [(&stranger, ""), (&refund, stranger.as_str()), (&"no id".to_owned(), "")] {
        assert_eq!(code(api.retry_refund(refund, booking, "key").await), "NOT_FOUND");
    }
    assert_eq!(code(api.retry_refund(&refund, &id, "").await), "INVALID_INPUT");

    // A refusal was not remembered, so its key can be used for what is right.
    let mut asking = JoinSet::new();
    for _ in 0..10 {
        let (api, refund, id) = (api.clone(), refund.clone(), id.clone());
        asking.spawn(async move { api.retry_refund(&refund, &id, "key").await.unwrap() });
    }
    let mut answers = asking.join_all().await;

    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(world.number("SELECT count(*) FROM history WHERE cause = 'retryRefund'").await, 1);
    assert_eq!(code(api.retry_refund(&refund, "", "key").await), "IDEMPOTENCY_CONFLICT");
    assert_eq!(code(api.retry_refund(&refund, &id, "other key").await), "INVALID_STATE");
    let customer = api.request("alice", Role::Customer, RetryRefundRequest::default());
    assert_eq!(api.client.clone().retry_refund(customer).await.unwrap_err().code(), Code::PermissionDenied);
}

async fn a_stuck_void_is_retried_too(world: World) {
    let api = Api::of(&world).await;
    let id = world.requested("tok").await;
    let refusals = std::iter::repeat_n(Reply::No("TRY_LATER"), 3);
    let running = world.work(Scripted::new(std::iter::once(Reply::Yes).chain(refusals)));
    world.until(id, PaymentState::Authorised).await;
    world.tell(id, &void(id, 1)).await.unwrap();
    world.until_payment(id, |payment| payment.steps.iter().any(|step| step.state == StepState::Stuck)).await;
    assert_eq!(api.stuck(100, "").await.payments[0].step(), StuckStep::Void);

    let message = RetryVoidRequest { booking_id: id.to_string(), attempt: 1, request_id: "again".to_owned() };
    let request = api.request("box office", Role::Admin, message);
    api.client.clone().retry_void(request).await.unwrap();
    world.until(id, PaymentState::Voided).await;

    assert!(api.stuck(100, "").await.payments.is_empty());
    assert_eq!(world.number("SELECT count(*) FROM history WHERE cause = 'retryVoid' AND entity = 'void'").await, 1);
    running.stop().await;
}
