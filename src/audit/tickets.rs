//! I6: nothing outlives its time, and tickets and confirmed bookings go together.

use super::check::{Check, Invariant, Service};

/// Lapsed claims, and tickets.
pub(super) const I6: Invariant = Invariant {
    id: "I6",
    meaning: "no claim outlives its end by more than a minute, and valid tickets are exactly those of live items of confirmed bookings",
    checks: &[
        Check::rows(Service::Booking, "seat_claims", SEAT_CLAIM_LAPSED),
        Check::rows(Service::Booking, "area_claims", AREA_CLAIM_LAPSED),
        Check::rows(Service::Booking, "tickets", TICKET_WITHOUT_BOOKING),
        Check::rows(Service::Booking, "booking_items", ITEM_WITHOUT_TICKET),
    ],
};

const SEAT_CLAIM_LAPSED: &str = "
    SELECT seat_id AS id, booking_id AS other,
        'held for booking {other}, over for ' || (({now} - expires_at) / 1000000) || ' s' AS what
    FROM seat_claims WHERE expires_at < {now} - {minute}";

const AREA_CLAIM_LAPSED: &str = "
    SELECT area_id AS id, booking_id AS other,
        quantity || ' places held for booking {other}, over for ' || (({now} - expires_at) / 1000000) || ' s' AS what
    FROM area_claims WHERE expires_at < {now} - {minute}";

const TICKET_WITHOUT_BOOKING: &str = "
    SELECT t.id AS id, t.booking_id AS other, CASE WHEN b.state = 'CONFIRMED' THEN 'valid, but its item is cancelled'
        ELSE 'valid, but its booking {other} is ' || coalesce(b.state, 'missing') END AS what
    FROM tickets t LEFT JOIN bookings b ON b.id = t.booking_id LEFT JOIN booking_items i ON i.id = t.item_id
    WHERE t.state = 'valid' AND (b.state IS NULL OR b.state <> 'CONFIRMED' OR i.cancelled_at IS NOT NULL)";

const ITEM_WITHOUT_TICKET: &str = "
    SELECT i.id AS id, b.id AS other, 'its booking {other} is CONFIRMED but it has ' || count(t.id) || ' valid tickets' AS what
    FROM bookings b JOIN booking_items i ON i.booking_id = b.id
    LEFT JOIN tickets t ON t.item_id = i.id AND t.booking_id = b.id AND t.event_id = b.event_id AND t.state = 'valid'
    WHERE b.state = 'CONFIRMED' AND i.cancelled_at IS NULL GROUP BY i.id, b.id HAVING count(t.id) <> 1";
