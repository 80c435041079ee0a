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
use common::proto::payment::v1::{BatchGetPaymentsRequest, GetPaymentRequest, Payment, PaymentState as WireState};
use common::runtime::Shutdown;
use payment::domain::{PaymentState, StepState};
use payment::infrastructure::grpc::{ACCESS, PaymentApi, SERVICE_NAME};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::scripted::{Reply, Scripted};
use crate::support::{World, give_back, on_both_databases};

on_both_databases!(
    customers_see_their_own_payments_alone,
    unknown_and_stuck_are_shown,
    facts_are_served_to_services_in_order,
);

struct Api {
    client: PaymentServiceClient<MeshChannel>,
    facts: FactServiceClient<MeshChannel>,
    issuer: Arc<DevIssuer>,
    _server: JoinSet<anyhow::Result<()>>,
}

impl Api {
    async fn of(world: &World) -> Self {
        let issuer = DevIssuer::new(Arc::new(SystemClock)).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let api = PaymentApi::new(world.db.clone());
        let server = Server::new("payment", issuer.verifier().unwrap(), ACCESS)
            .add(PaymentServiceServer::new(api))
            .add(FactApi::service(world.outbox.clone()));
        let mut task = JoinSet::new();
        task.spawn(server.serve(listener, SERVICE_NAME, Shutdown::new()));
        let channel = MeshChannel::new("payment", [address]).unwrap();
        let (client, facts) = (PaymentServiceClient::new(channel.clone()), FactServiceClient::new(channel));
        Self { client, facts, issuer, _server: task }
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
