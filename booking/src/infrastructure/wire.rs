//! The domain in its protobuf forms: facts, bookings, offers.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use common::clock::{from_wire, to_wire};
use common::fact::NewFact;
use common::ids::{AreaId, EventId, SeatId, SeatingPlanId};
use common::money::Currency;
use common::proto::booking::v1 as proto;
use common::proto::catalog::v1 as catalog;
use prost::Message;

use self::seating::Seating;
use super::store::{CheckedIn, Refund, RefundState, Stored, Ticket};
use crate::application::ports::FetchedOffer;
use crate::domain::booking::{Booking, BookingFact, BookingState, Item};
use crate::domain::offer::{Offer, OfferArea, OfferSeat, OfferTerms};
use crate::domain::policy::{Bracket, Policy};

mod seating;

/// A fact as it is told.
pub fn fact(booking: &Booking, fact: &BookingFact, sequence: i64) -> NewFact {
    let id = booking.id.0;
    let booking_id = booking.id.to_string();
    match fact {
        BookingFact::Held { expires_at } => NewFact::of(
            id,
            sequence,
            &proto::BookingHeld {
                booking_id,
                event_id: booking.event_id.to_string(),
                customer_id: booking.customer_id.clone(),
                total: Some(booking.total.into()),
                expires_at: Some(to_wire(*expires_at)),
            },
        ),
        BookingFact::PaymentRequested { attempt, payment_token } => NewFact::of(
            id,
            sequence,
            &proto::PaymentRequested {
                booking_id,
                attempt: *attempt,
                amount: Some(booking.total.into()),
                payment_token: payment_token.clone(),
            },
        ),
        BookingFact::Confirmed { attempt } => {
            let amount = Some(booking.total.into());
            NewFact::of(id, sequence, &proto::BookingConfirmed { booking_id, attempt: *attempt, amount })
        }
        BookingFact::Expired => NewFact::of(id, sequence, &proto::BookingExpired { booking_id }),
        BookingFact::Released => NewFact::of(id, sequence, &proto::BookingReleased { booking_id }),
        BookingFact::Cancelled { cause } => {
            NewFact::of(id, sequence, &proto::BookingCancelled { booking_id, cause: cause.name().into() })
        }
        BookingFact::VoidRequested { attempt, reason } => {
            let reason = (*reason).to_owned();
            NewFact::of(id, sequence, &proto::VoidRequested { booking_id, attempt: *attempt, reason })
        }
        BookingFact::RefundRequested { refund_id, amount, reason } => NewFact::of(
            id,
            sequence,
            &proto::RefundRequested {
                booking_id,
                refund_id: refund_id.to_string(),
                amount: Some((*amount).into()),
                reason: reason.clone(),
            },
        ),
    }
}

/// A booking as reads show it: a lapsed hold is expired, whether or not the sweeper has come by.
pub fn booking(stored: &Stored, now: DateTime<Utc>) -> proto::Booking {
    let booking = &stored.booking;
    let (state, expires_at) = match booking.state {
        BookingState::Held { .. } if booking.lapsed(now) => (proto::BookingState::Expired, None),
        BookingState::Held { expires_at } => (proto::BookingState::Held, Some(expires_at)),
        BookingState::Paying { grace_until, .. } => (proto::BookingState::Paying, Some(grace_until)),
        BookingState::Confirmed { .. } => (proto::BookingState::Confirmed, None),
        BookingState::Cancelled { .. } => (proto::BookingState::Cancelled, None),
        BookingState::Expired => (proto::BookingState::Expired, None),
        BookingState::Released => (proto::BookingState::Released, None),
    };
    let cancel_cause = match booking.state {
        BookingState::Cancelled { cause, .. } => cause.name(),
        BookingState::Held { .. }
        | BookingState::Paying { .. }
        | BookingState::Confirmed { .. }
        | BookingState::Expired
        | BookingState::Released => "",
    };
    proto::Booking {
        id: booking.id.to_string(),
        customer_id: booking.customer_id.clone(),
        event_id: booking.event_id.to_string(),
        state: state.into(),
        expires_at: expires_at.map(to_wire),
        total: Some(booking.total.into()),
        items: booking.items.iter().map(item).collect(),
        tickets: stored.tickets.iter().map(ticket).collect(),
        decline_code: booking.decline_code.clone().unwrap_or_default(),
        attempt: booking.attempts,
        created_at: Some(to_wire(booking.created_at)),
        cancel_cause: cancel_cause.to_owned(),
        refunds: stored.refunds.iter().map(refund).collect(),
    }
}

/// A refund, as payment told of it.
fn refund(refund: &Refund) -> proto::Refund {
    let state = match refund.state {
        RefundState::Requested => proto::RefundState::Requested,
        RefundState::Done => proto::RefundState::Done,
        RefundState::Nothing => proto::RefundState::Nothing,
        RefundState::Stuck => proto::RefundState::Stuck,
    };
    proto::Refund {
        id: refund.id.to_string(),
        amount: Some(refund.amount.into()),
        state: state.into(),
        reason: refund.reason.clone(),
        created_at: Some(to_wire(refund.created_at)),
    }
}

/// One seat, or one place of an area.
pub fn item(item: &Item) -> proto::BookingItem {
    proto::BookingItem {
        id: item.id.to_string(),
        seat_id: item.seat_id.map(|s| s.to_string()).unwrap_or_default(),
        area_id: item.area_id.map(|a| a.to_string()).unwrap_or_default(),
        label: item.label.clone(),
        price: Some(item.price.into()),
        refunded: Some(item.refunded.into()),
        cancelled_at: item.cancelled_at.map(to_wire),
    }
}

/// A ticket as its customer and the gates see it.
pub fn ticket(ticket: &Ticket) -> proto::Ticket {
    proto::Ticket {
        id: ticket.id.to_string(),
        token: ticket.token.clone(),
        item_id: ticket.item_id.to_string(),
        void: ticket.void,
        used_at: ticket.used.as_ref().map(|used| to_wire(used.at)),
        used_gate: ticket.used.as_ref().map(|used| used.gate.clone()).unwrap_or_default(),
    }
}

/// What a gate is told.
pub fn checked_in(used: &CheckedIn) -> proto::CheckInResponse {
    proto::CheckInResponse {
        ticket: Some(ticket(&used.ticket)),
        item: Some(item(&used.item)),
        booking_id: used.booking_id.to_string(),
        event_id: used.event_id.to_string(),
    }
}

/// Why catalog's offer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The bytes are no offer.
    #[error("the offer does not decode")]
    Decode(#[from] prost::DecodeError),
    /// A field is missing or wrong.
    #[error("the offer's {0} is missing or wrong")]
    Field(&'static str),
}

/// An offer from its stored bytes: catalog's stream joined into one message.
pub fn stored_offer(data: &[u8]) -> Result<Offer, OfferError> {
    offer(catalog::StreamOfferResponse::decode(data)?)
}

/// What catalog's stream, joined into one message, brought: the offer, the bytes to keep, and whether the event is off.
pub fn fetched(joined: catalog::StreamOfferResponse) -> Result<FetchedOffer, OfferError> {
    let cancelled = joined.terms.as_ref().is_some_and(|terms| terms.cancelled);
    let data = Bytes::from(joined.encode_to_vec());
    Ok(FetchedOffer { offer: offer(joined)?, data, cancelled })
}

fn offer(message: catalog::StreamOfferResponse) -> Result<Offer, OfferError> {
    let wire = message.terms.ok_or(OfferError::Field("terms"))?;
    let instant =
        |at: &Option<prost_types::Timestamp>, field| at.as_ref().and_then(from_wire).ok_or(OfferError::Field(field));
    let terms = OfferTerms {
        event_id: EventId::parse(&wire.event_id).ok_or(OfferError::Field("event_id"))?,
        version: i64::try_from(wire.version).ok().filter(|v| *v > 0).ok_or(OfferError::Field("version"))?,
        starts_at: instant(&wire.starts_at, "starts_at")?,
        // No two machines' clocks need to agree before what was published sells.
        sale_starts_at: match wire.on_sale_when_published {
            true => DateTime::UNIX_EPOCH,
            false => instant(&wire.sale_starts_at, "sale_starts_at")?,
        },
        sale_ends_at: instant(&wire.sale_ends_at, "sale_ends_at")?,
        per_customer_limit: fits(wire.per_customer_limit, "per_customer_limit")?,
        currency: Currency::parse(&wire.currency).map_err(|_| OfferError::Field("currency"))?,
        plan_id: SeatingPlanId::parse(&wire.seating_plan_id).ok_or(OfferError::Field("seating_plan_id"))?,
        policy: policy(wire.cancellation_policy)?,
        forbid_orphan_seats: wire.forbid_orphan_seats,
    };
    let Seating { categories, of_seats, hall } = seating::read(&message.rows, &message.seats)?;
    let seats = message.seats.into_iter().zip(of_seats).map(|(seat, category)| {
        Ok(OfferSeat {
            id: SeatId::parse(&seat.seat_id).ok_or(OfferError::Field("seat_id"))?,
            label: seat.label.into(),
            category,
            price_minor: Some(seat.price_minor).filter(|p| *p >= 0).ok_or(OfferError::Field("price_minor"))?,
            closed: seat.closed,
        })
    });
    let areas = wire.areas.into_iter().map(|area| {
        Ok(OfferArea {
            id: AreaId::parse(&area.area_id).ok_or(OfferError::Field("area_id"))?,
            name: area.name.into(),
            capacity: fits(area.capacity, "capacity")?,
            price_minor: Some(area.price_minor).filter(|p| *p >= 0).ok_or(OfferError::Field("price_minor"))?,
        })
    });
    let seats = seats.collect::<Result<Vec<_>, OfferError>>()?;
    let areas = areas.collect::<Result<Vec<_>, OfferError>>()?;
    Ok(Offer::new(terms, seats, areas, categories, hall))
}

/// No policy at all stands for the default one, as in catalog.
fn policy(wire: Option<catalog::CancellationPolicy>) -> Result<Policy, OfferError> {
    let Some(wire) = wire else { return Ok(Policy::default()) };
    let bracket = |bracket: catalog::CancellationBracket| Bracket {
        hours_before: bracket.hours_before,
        percent: bracket.percent,
    };
    let brackets = wire.brackets.into_iter().map(bracket).collect();
    Policy::new(brackets, wire.fee_minor).ok_or(OfferError::Field("cancellation_policy"))
}

/// Counts stand in signed columns.
fn fits(count: u32, field: &'static str) -> Result<u32, OfferError> {
    i32::try_from(count).map(i32::cast_unsigned).map_err(|_| OfferError::Field(field))
}
