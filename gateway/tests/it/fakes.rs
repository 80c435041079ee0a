//! The three services as tests script them: they answer from [`Script`], note every call, and refuse what they are told to.

mod booking;
mod catalog;
mod payment;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use common::auth::{Principal, Role, Verifier};
use common::grpc::{AccessTable, Server};
use common::proto::booking::v1::booking_service_server::BookingServiceServer;
use common::proto::catalog::v1::catalog_service_server::CatalogServiceServer;
use common::proto::payment::v1::payment_service_server::PaymentServiceServer;
use common::proto::{booking::v1 as booking_pb, catalog::v1 as catalog_pb, payment::v1 as payment_pb};
use common::runtime::Shutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Status;

/// What the services know and were asked.
#[derive(Default)]
pub struct Script {
    pub events: Mutex<Vec<catalog_pb::Event>>,
    pub venues: Mutex<Vec<catalog_pb::Venue>>,
    pub plan: Mutex<Vec<catalog_pb::StreamSeatingPlanResponse>>,
    pub imported: Mutex<Vec<u8>>,
    pub import_header: Mutex<Option<catalog_pb::ImportSeatingPlanHeader>>,
    pub availability: Mutex<HashMap<String, booking_pb::Availability>>,
    pub seat_states: Mutex<booking_pb::GetSeatStatesResponse>,
    pub bookings: Mutex<Vec<booking_pb::Booking>>,
    pub history: Mutex<Vec<booking_pb::HistoryEntry>>,
    pub payments: Mutex<Vec<payment_pb::Payment>>,
    pub stuck: Mutex<Vec<payment_pb::StuckPayment>>,
    refusals: Mutex<HashMap<&'static str, Status>>,
    held: Mutex<HashMap<&'static str, Shutdown>>,
    calls: Mutex<Vec<Call>>,
}

/// A call that arrived.
#[derive(Debug, Clone)]
pub struct Call {
    pub method: &'static str,
    pub caller: Principal,
    pub message: String,
}

impl Script {
    /// Makes a method refuse from now on.
    pub fn refuse(&self, method: &'static str, status: Status) {
        self.refusals.lock().unwrap().insert(method, status);
    }

    /// Lets a method answer again.
    pub fn allow(&self, method: &str) {
        self.refusals.lock().unwrap().remove(method);
    }

    /// Holds back the answers of a method, as they stand when it is called, until what is returned is cancelled.
    pub fn hold(&self, method: &'static str) -> Shutdown {
        let release = Shutdown::new();
        self.held.lock().unwrap().insert(method, release.clone());
        release
    }

    async fn released(&self, method: &str) {
        let held = self.held.lock().unwrap().get(method).cloned();
        if let Some(release) = held {
            release.cancelled().await;
        }
    }

    /// The calls of a method so far.
    pub fn calls(&self, method: &str) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.method == method).cloned().collect()
    }

    fn enter<T: std::fmt::Debug>(&self, method: &'static str, request: &tonic::Request<T>) -> Result<(), Status> {
        let caller = common::grpc::principal(request)?;
        let message = format!("{:?}", request.get_ref());
        self.calls.lock().unwrap().push(Call { method, caller, message });
        match self.refusals.lock().unwrap().get(method) {
            Some(status) => Err(status.clone()),
            None => Ok(()),
        }
    }
}

/// Pages by position: the token of a row is the number of rows up to and with it.
fn page<T: Clone>(rows: &[T], size: u32, token: &str) -> Result<(Vec<T>, Vec<String>, bool), Status> {
    let start: usize = if token.is_empty() { 0 } else { token.parse().map_err(|_| Status::internal("bad token"))? };
    let end = rows.len().min(start + size as usize);
    let tokens = (start + 1..=end).map(|n| n.to_string()).collect();
    Ok((rows[start..end].to_vec(), tokens, end < rows.len()))
}

fn unused<T>() -> Result<T, Status> {
    Err(Status::unimplemented("not scripted"))
}

/// Implements a generated service: each unary method notes its call, then answers from the script.
macro_rules! fake {
    ($trait:ident in $pb:ident { $($method:ident($request:ident) -> $response:ident: $answer:expr;)* } $($rest:tt)*) => {
        #[tonic::async_trait]
        impl $trait for super::Fake {
            $(async fn $method(
                &self,
                request: tonic::Request<$pb::$request>,
            ) -> Result<tonic::Response<$pb::$response>, tonic::Status> {
                self.0.enter(stringify!($method), &request)?;
                let answer: fn(&super::Script, $pb::$request) -> Result<$pb::$response, tonic::Status> = $answer;
                let answer = answer(&self.0, request.into_inner()).map(tonic::Response::new);
                self.0.released(stringify!($method)).await;
                answer
            })*
            $($rest)*
        }
    };
}
use fake;

/// One service in front of the shared script.
pub struct Fake(Arc<Script>);

const EVERYBODY: &[Role] = &[Role::Admin, Role::Customer, Role::Service];
const CATALOG: AccessTable = &[
    ("CreateVenue", EVERYBODY),
    ("BatchGetVenues", EVERYBODY),
    ("ListVenues", EVERYBODY),
    ("ImportSeatingPlan", EVERYBODY),
    ("ListSeatingPlans", EVERYBODY),
    ("StreamSeatingPlan", EVERYBODY),
    ("CreateEvent", EVERYBODY),
    ("UpdateEvent", EVERYBODY),
    ("SetPrices", EVERYBODY),
    ("PublishEvent", EVERYBODY),
    ("CancelEvent", EVERYBODY),
    ("BatchGetEvents", EVERYBODY),
    ("SearchEvents", EVERYBODY),
];
const BOOKING: AccessTable = &[
    ("HoldSeats", EVERYBODY),
    ("HoldBestAvailable", EVERYBODY),
    ("PayBooking", EVERYBODY),
    ("ReleaseBooking", EVERYBODY),
    ("CancelBooking", EVERYBODY),
    ("GetBooking", EVERYBODY),
    ("ListBookings", EVERYBODY),
    ("BatchGetAvailability", EVERYBODY),
    ("GetSeatStates", EVERYBODY),
    ("RefundBooking", &[Role::Admin]),
    ("CheckIn", &[Role::Admin]),
    ("ListTicketKeys", EVERYBODY),
    ("ListBookingHistory", &[Role::Admin]),
    ("ListSeatHistory", &[Role::Admin]),
    ("GetSalesReport", &[Role::Admin]),
];
const PAYMENT: AccessTable = &[
    ("BatchGetPayments", EVERYBODY),
    ("ListStuckPayments", &[Role::Admin]),
    ("RetryRefund", &[Role::Admin]),
    ("RetryVoid", &[Role::Admin]),
];

/// Starts the three services and returns their addresses: catalog, booking, payment.
pub async fn start(
    script: &Arc<Script>,
    verifier: &Arc<Verifier>,
    tasks: &mut JoinSet<()>,
    stop: &Shutdown,
) -> [SocketAddr; 3] {
    let catalog =
        Server::new("catalog", verifier.clone(), CATALOG).add(CatalogServiceServer::new(Fake(script.clone())));
    let booking =
        Server::new("booking", verifier.clone(), BOOKING).add(BookingServiceServer::new(Fake(script.clone())));
    let payment =
        Server::new("payment", verifier.clone(), PAYMENT).add(PaymentServiceServer::new(Fake(script.clone())));
    [
        serve(catalog, "eventix.catalog.v1.CatalogService", tasks, stop).await,
        serve(booking, "eventix.booking.v1.BookingService", tasks, stop).await,
        serve(payment, "eventix.payment.v1.PaymentService", tasks, stop).await,
    ]
}

async fn serve(server: Server, name: &'static str, tasks: &mut JoinSet<()>, stop: &Shutdown) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = stop.clone();
    tasks.spawn(async move { server.serve(listener, name, stop).await.unwrap() });
    address
}
