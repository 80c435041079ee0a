//! Booking, scripted.

use std::collections::HashMap;

use common::error::{ErrorKind, status};
use common::proto::booking::v1 as pb;
use common::proto::booking::v1::booking_service_server::BookingService;
use tonic::Status;

use super::{Script, fake, page, unused};

fn find(script: &Script, id: &str) -> Result<Option<pb::Booking>, Status> {
    let booking = script.bookings.lock().unwrap().iter().find(|booking| booking.id == id).cloned();
    let missing =
        || status(ErrorKind::NotFound, "NOT_FOUND", format!("booking {id} does not exist"), None, HashMap::new());
    booking.map(Some).ok_or_else(missing)
}

fake! { BookingService in pb {
    hold_seats(HoldSeatsRequest) -> HoldSeatsResponse: |script, _| {
        Ok(pb::HoldSeatsResponse { booking: script.bookings.lock().unwrap().first().cloned() })
    };
    hold_best_available(HoldBestAvailableRequest) -> HoldBestAvailableResponse: |script, _| {
        Ok(pb::HoldBestAvailableResponse { booking: script.bookings.lock().unwrap().first().cloned() })
    };
    pay_booking(PayBookingRequest) -> PayBookingResponse: |script, request| {
        Ok(pb::PayBookingResponse { booking: find(script, &request.booking_id)? })
    };
    release_booking(ReleaseBookingRequest) -> ReleaseBookingResponse: |script, request| {
        Ok(pb::ReleaseBookingResponse { booking: find(script, &request.booking_id)? })
    };
    cancel_booking(CancelBookingRequest) -> CancelBookingResponse: |script, request| {
        Ok(pb::CancelBookingResponse { booking: find(script, &request.booking_id)? })
    };
    refund_booking(RefundBookingRequest) -> RefundBookingResponse: |script, request| {
        Ok(pb::RefundBookingResponse { booking: find(script, &request.booking_id)? })
    };
    get_booking(GetBookingRequest) -> GetBookingResponse: |script, request| {
        Ok(pb::GetBookingResponse { booking: find(script, &request.booking_id)? })
    };
    list_bookings(ListBookingsRequest) -> ListBookingsResponse: |script, request| {
        let (bookings, tokens, has_more) =
            page(&script.bookings.lock().unwrap(), request.page_size, &request.page_token)?;
        Ok(pb::ListBookingsResponse { bookings, tokens, has_more })
    };
    batch_get_availability(BatchGetAvailabilityRequest) -> BatchGetAvailabilityResponse: |script, request| {
        let known = script.availability.lock().unwrap();
        let availabilities = request.event_ids.iter().filter_map(|id| known.get(id).cloned()).collect();
        Ok(pb::BatchGetAvailabilityResponse { availabilities })
    };
    get_seat_states(GetSeatStatesRequest) -> GetSeatStatesResponse: |script, _| {
        Ok(script.seat_states.lock().unwrap().clone())
    };
    ensure_offer(EnsureOfferRequest) -> EnsureOfferResponse: |_, _| unused();
    stop_selling(StopSellingRequest) -> StopSellingResponse: |_, _| unused();
    check_in(CheckInRequest) -> CheckInResponse: |script, request| {
        let bookings = script.bookings.lock().unwrap();
        let ticket = |booking: &pb::Booking| booking.tickets.iter().find(|t| t.token == request.token).cloned();
        let found = bookings.iter().find_map(|booking| Some((ticket(booking)?, booking.items.first().cloned())));
        let (ticket, item) = found.ok_or_else(|| Status::internal("not scripted"))?;
        Ok(pb::CheckInResponse { ticket: Some(ticket), item, ..Default::default() })
    };
    list_ticket_keys(ListTicketKeysRequest) -> ListTicketKeysResponse: |_, _| {
        let key = |key_id| pb::TicketKey { key_id, public_key: vec![0xfb; 32].into() };
        Ok(pb::ListTicketKeysResponse { keys: vec![key(1), key(2)] })
    };
    list_booking_history(ListBookingHistoryRequest) -> ListBookingHistoryResponse: |script, request| {
        find(script, &request.booking_id)?;
        let (entries, tokens, has_more) =
            page(&script.history.lock().unwrap(), request.page_size, &request.page_token)?;
        Ok(pb::ListBookingHistoryResponse { entries, tokens, has_more })
    };
    get_sales_report(GetSalesReportRequest) -> GetSalesReportResponse: |_, request| {
        let line = |category: &str, area: &str, sold| pb::SalesLine {
            category: category.into(), area: area.into(), sold, held: 1, free: 2, total: sold + 3,
            gross_minor: 5_000_000_000, refunded_minor: 2500, ..Default::default()
        };
        if request.event_id != super::super::world::id(1) {
            return Err(status(ErrorKind::NotFound, "NOT_FOUND", "no such event", None, HashMap::new()));
        }
        Ok(pb::GetSalesReportResponse {
            currency: "EUR".into(),
            lines: vec![line("Stalls", "", 4), line("", "Standing", 6)],
            total: Some(line("", "", 10)),
            refund_pending_minor: 700,
            refund_stuck_minor: 300,
        })
    };
    list_seat_history(ListSeatHistoryRequest) -> ListSeatHistoryResponse: |script, request| {
        let (entries, tokens, has_more) =
            page(&script.history.lock().unwrap(), request.page_size, &request.page_token)?;
        Ok(pb::ListSeatHistoryResponse { entries, tokens, has_more })
    };
} }
