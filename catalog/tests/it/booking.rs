//! A booking service that knows one thing: which offers it was asked to hold.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use common::auth::Role;
use common::grpc::AccessTable;
use common::proto::booking::v1 as proto;
use proto::booking_service_server::BookingService;
use tonic::{Request, Response, Status};

/// As in the real one.
pub const ACCESS: AccessTable = &[("EnsureOffer", &[Role::Service, Role::Admin]), ("StopSelling", &[Role::Service])];

/// What it was asked, and whether it answers.
#[derive(Default)]
pub struct Booking {
    /// Refuses everything while set.
    pub down: AtomicBool,
    /// Event and version, in the order asked.
    pub asked: Mutex<Vec<(String, u64)>>,
    /// Cancelled events, in the order told.
    pub stopped: Mutex<Vec<String>>,
}

macro_rules! unimplemented_methods {
    ($($method:ident: $request:ident => $response:ident),+ $(,)?) => {
        #[tonic::async_trait]
        impl BookingService for Booking {
            async fn ensure_offer(
                &self,
                request: Request<proto::EnsureOfferRequest>,
            ) -> Result<Response<proto::EnsureOfferResponse>, Status> {
                if self.down.load(Ordering::SeqCst) {
                    return Err(Status::unavailable("down"));
                }
                let request = request.into_inner();
                self.asked.lock().unwrap().push((request.event_id, request.version));
                Ok(Response::new(proto::EnsureOfferResponse { version: request.version }))
            }

            async fn stop_selling(
                &self,
                request: Request<proto::StopSellingRequest>,
            ) -> Result<Response<proto::StopSellingResponse>, Status> {
                self.stopped.lock().unwrap().push(request.into_inner().event_id);
                Ok(Response::new(proto::StopSellingResponse {}))
            }

            $(async fn $method(&self, _: Request<proto::$request>) -> Result<Response<proto::$response>, Status> {
                Err(Status::unimplemented("not needed here"))
            })+
        }
    };
}

unimplemented_methods! {
    hold_seats: HoldSeatsRequest => HoldSeatsResponse,
    hold_best_available: HoldBestAvailableRequest => HoldBestAvailableResponse,
    pay_booking: PayBookingRequest => PayBookingResponse,
    release_booking: ReleaseBookingRequest => ReleaseBookingResponse,
    cancel_booking: CancelBookingRequest => CancelBookingResponse,
    refund_booking: RefundBookingRequest => RefundBookingResponse,
    get_booking: GetBookingRequest => GetBookingResponse,
    list_bookings: ListBookingsRequest => ListBookingsResponse,
    batch_get_availability: BatchGetAvailabilityRequest => BatchGetAvailabilityResponse,
    get_seat_states: GetSeatStatesRequest => GetSeatStatesResponse,
    check_in: CheckInRequest => CheckInResponse,
    list_ticket_keys: ListTicketKeysRequest => ListTicketKeysResponse,
    list_booking_history: ListBookingHistoryRequest => ListBookingHistoryResponse,
    list_seat_history: ListSeatHistoryRequest => ListSeatHistoryResponse,
    get_sales_report: GetSalesReportRequest => GetSalesReportResponse,
}
