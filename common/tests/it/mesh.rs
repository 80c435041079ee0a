//! The client channel against real servers: replicas that share calls, stop, come back, are gone, or lose the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::auth::{Identity, Role};
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;
use common::grpc::{AccessTable, Caller, MeshChannel, Server, bind, with_retry, with_retry_unless_begun};
use common::proto::common::v1::fact_service_client::FactServiceClient;
use common::proto::common::v1::fact_service_server::{FactService, FactServiceServer};
use common::proto::common::v1::{ListFactsRequest, ListFactsResponse, ListHeadsRequest, ListHeadsResponse};
use common::runtime::Shutdown;
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::world::eventually;

const SERVICE: &str = "eventix.common.v1.FactService";
const ACCESS: AccessTable = &[("ListFacts", &[Role::Service])];

/// Answers its calls once it is let; counts what began.
struct Fake {
    began: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[tonic::async_trait]
impl FactService for Fake {
    async fn list_facts(&self, _: Request<ListFactsRequest>) -> Result<Response<ListFactsResponse>, Status> {
        self.began.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.acquire().await.unwrap();
        Ok(Response::new(ListFactsResponse::default()))
    }

    async fn list_heads(&self, _: Request<ListHeadsRequest>) -> Result<Response<ListHeadsResponse>, Status> {
        Err(Status::unimplemented("nobody asks for heads here"))
    }
}

/// A server of the mesh.
struct Replica {
    address: SocketAddr,
    began: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
    shutdown: Shutdown,
    running: JoinSet<anyhow::Result<()>>,
}

impl Replica {
    async fn start(identity: &Identity) -> Self {
        Self::start_at(identity, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    async fn start_at(identity: &Identity, address: SocketAddr) -> Self {
        let listener = bind(address).await.unwrap();
        let mut replica = Self {
            address: listener.local_addr().unwrap(),
            began: Arc::default(),
            gate: Arc::new(Semaphore::new(1000)),
            shutdown: Shutdown::new(),
            running: JoinSet::new(),
        };
        let fake = Fake { began: replica.began.clone(), gate: replica.gate.clone() };
        let server = Server::new("tester", identity.verifier.clone(), ACCESS).add(FactServiceServer::new(fake));
        replica.running.spawn(server.serve(listener, SERVICE, replica.shutdown.clone()));
        replica
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn began(&self) -> usize {
        self.began.load(Ordering::SeqCst)
    }

    /// Calls that begin now end when the gate is opened.
    async fn shut(&self) {
        self.gate.acquire_many(1000).await.unwrap().forget();
    }

    fn open(&self) {
        self.gate.add_permits(1000);
    }

    async fn stopped(&mut self) {
        self.running.join_next().await.unwrap().unwrap().unwrap();
    }

    async fn stop(&mut self) {
        self.shutdown.cancel();
        self.stopped().await;
    }
}

#[derive(Clone)]
struct Client {
    identity: Identity,
    client: FactServiceClient<MeshChannel>,
}

impl Client {
    fn of(identity: &Identity, endpoints: &[String]) -> Self {
        let client = FactServiceClient::new(MeshChannel::new("tester", endpoints).unwrap());
        Self { identity: identity.clone(), client }
    }

    /// One attempt.
    async fn call(&self) -> Result<Response<ListFactsResponse>, Status> {
        let caller = Caller::service(&*self.identity.tokens).await.unwrap();
        self.client.clone().list_facts(caller.request(ListFactsRequest::default())).await
    }

    /// As reads and repeatable writes are made.
    async fn persist(&self) {
        with_retry(|| self.call()).await.unwrap();
    }
}

fn identity() -> Identity {
    DevIssuer::new(Arc::new(SystemClock)).unwrap().identity().unwrap()
}

/// An address where nobody listens.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Passes one connection on, and cuts it when dropped.
async fn cuttable(to: SocketAddr) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut proxy = JoinSet::new();
    proxy.spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut far = TcpStream::connect(to).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    (url, proxy)
}

#[tokio::test]
async fn replicas_share_the_calls() {
    let identity = identity();
    let (one, two) = (Replica::start(&identity).await, Replica::start(&identity).await);
    let client = Client::of(&identity, &[one.url(), two.url()]);

    for _ in 0..60 {
        client.call().await.unwrap();
    }

    assert_eq!(one.began() + two.began(), 60);
    assert!(one.began() > 10 && two.began() > 10, "{} and {}", one.began(), two.began());
}

#[tokio::test]
async fn a_replica_that_is_not_there_costs_one_more_attempt_and_is_then_avoided() {
    let identity = identity();
    let replica = Replica::start(&identity).await;
    let client = Client::of(&identity, &[nowhere().await, replica.url()]);

    for _ in 0..30 {
        with_retry_unless_begun(|| client.call()).await.unwrap();
    }

    assert_eq!(replica.began(), 30);
}

#[tokio::test]
async fn a_stopping_replica_finishes_its_calls_and_no_other_call_is_lost() {
    let identity = identity();
    let (mut stopping, staying) = (Replica::start(&identity).await, Replica::start(&identity).await);
    let client = Client::of(&identity, &[stopping.url(), staying.url()]);
    stopping.shut().await;
    let mut crowd = JoinSet::new();
    crowd.spawn(async move {
        for _ in 0..20 {
            join_all((0..10).map(|_| client.persist())).await;
        }
    });
    eventually("calls under way", async || (stopping.began() > 0).then_some(())).await;

    stopping.shutdown.cancel();
    stopping.open();

    crowd.join_next().await.unwrap().unwrap();
    stopping.stopped().await;
    assert_eq!(stopping.began() + staying.began(), 200, "every call was begun by one replica, once");
}

#[tokio::test]
async fn a_replica_that_came_back_gets_calls_again() {
    let identity = identity();
    let (mut restarted, other) = (Replica::start(&identity).await, Replica::start(&identity).await);
    let client = Client::of(&identity, &[restarted.url(), other.url()]);
    restarted.stop().await;
    for _ in 0..10 {
        client.persist().await;
    }

    let restarted = Replica::start_at(&identity, restarted.address).await;

    eventually("a call to it", async || {
        client.persist().await;
        (restarted.began() > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_connection_broke_is_unavailable_and_repeated_only_where_that_is_safe() {
    let identity = identity();
    let replica = Replica::start(&identity).await;
    replica.shut().await;
    let (url, mut proxy) = cuttable(replica.address).await;
    let client = Client::of(&identity, &[url]);
    let mut under_way = JoinSet::new();
    let calling = client.clone();
    under_way.spawn(async move { with_retry_unless_begun(|| calling.call()).await });
    eventually("a call under way", async || (replica.began() == 1).then_some(())).await;

    proxy.shutdown().await;

    let status = under_way.join_next().await.unwrap().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert_eq!(replica.began(), 1, "it may have happened, so it is not sent again");
    assert_eq!(client.call().await.unwrap_err().code(), Code::Unavailable, "nobody listens there now");
}

#[tokio::test]
async fn stopping_turns_health_red_and_does_not_wait_for_those_who_watch_it() {
    let identity = identity();
    let mut replica = Replica::start(&identity).await;
    let mut health = HealthClient::new(MeshChannel::new("tester", [replica.url()]).unwrap());
    let question = HealthCheckRequest { service: SERVICE.into() };
    let mut watch = health.watch(question).await.unwrap().into_inner();
    let mut next = async || watch.message().await.unwrap().map(|answer| answer.status());
    assert_eq!(next().await, Some(ServingStatus::Serving));

    let asked_at = Instant::now();
    replica.shutdown.cancel();

    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(next().await, None);
    replica.stopped().await;
    assert!(asked_at.elapsed() < Duration::from_secs(5), "took {:?}", asked_at.elapsed());
}
