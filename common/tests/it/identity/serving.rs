//! A service whose issuer cannot be reached: not ready, and honest about it.

use std::time::{Duration, Instant};

use common::auth::Role;
use common::error::Refused;
use common::fact_service::FactApi;
use common::grpc::{AccessTable, Caller, MeshChannel, Server, bind};
use common::proto::common::v1::ListFactsRequest;
use common::proto::common::v1::fact_service_client::FactServiceClient;
use common::runtime::Shutdown;
use common::testing::TestDb;
use common::testing::issuer::{Behaviour, TestIssuer};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{Process, hasty};
use crate::world::{create_tables, eventually};

const ACCESS: AccessTable = &[("ListFacts", &[Role::Service])];
const NAME: &str = "eventix.common.v1.FactService";

struct Service {
    facts: FactServiceClient<MeshChannel>,
    health: HealthClient<MeshChannel>,
    _serving: JoinSet<anyhow::Result<()>>,
    _db: TestDb,
}

impl Service {
    async fn start(process: &Process) -> Self {
        let db = TestDb::sqlite().await;
        create_tables(&db).await;
        let outbox = common::outbox::Outbox::new((*db).clone(), "tester", crate::world::TOPIC);
        let server = Server::new("tester", process.identity.verifier.clone(), ACCESS).add(FactApi::service(outbox));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let channel = MeshChannel::new("tester", [format!("http://{}", listener.local_addr().unwrap())]).unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(server.serve(listener, NAME, Shutdown::new()));
        let (facts, health) = (FactServiceClient::new(channel.clone()), HealthClient::new(channel));
        Self { facts, health, _serving: serving, _db: db }
    }

    async fn call(&self, token: &str) -> Result<(), Status> {
        let caller = Caller::user(token, Instant::now() + Duration::from_secs(5));
        let message = ListFactsRequest { page_size: 1, ..ListFactsRequest::default() };
        self.facts.clone().list_facts(caller.request(message)).await.map(drop)
    }

    async fn until(&self, status: ServingStatus) {
        eventually("health tells", async || {
            for service in ["", NAME] {
                let question = HealthCheckRequest { service: service.to_owned() };
                let answer = self.health.clone().check(question).await.ok()?.into_inner();
                if answer.status() != status {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_service_is_ready_while_it_can_tell_who_calls_and_says_unavailable_otherwise() {
    let issuer = TestIssuer::start().await;
    issuer.set_keys(Behaviour::Fails);
    let process = Process::start(&hasty(&issuer));
    let service = Service::start(&process).await;
    let token = issuer.token("eventix-mesh@clients", Role::Service);

    service.until(ServingStatus::NotServing).await;
    let early = service.call(&token).await.unwrap_err();
    issuer.set_keys(Behaviour::Answers);
    service.until(ServingStatus::Serving).await;
    let good = service.call(&token).await;
    let customer = service.call(&issuer.token("alice", Role::Customer)).await.unwrap_err();
    let nobody = service.call("nonsense").await.unwrap_err();
    issuer.set_keys(Behaviour::TalksNonsense);
    service.until(ServingStatus::NotServing).await;
    let late = service.call(&token).await.unwrap_err();

    assert_eq!((early.code(), Refused::of(&early).reason.as_str()), (Code::Unavailable, "AUTH_KEYS_MISSING"));
    assert!(good.is_ok(), "{good:?}");
    assert_eq!(customer.code(), Code::PermissionDenied);
    assert_eq!(nobody.code(), Code::Unauthenticated);
    assert_eq!((late.code(), Refused::of(&late).reason.as_str()), (Code::Unavailable, "AUTH_KEYS_TOO_OLD"));
}
