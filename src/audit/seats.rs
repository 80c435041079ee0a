//! I1: claims on seats and area places agree with the bookings they are for; a used seat of a booking that was called off
//! stays claimed, because somebody sits there. All of booking's tables, one statement each,
//! so that every reading is a snapshot.

use super::check::{Check, Invariant, Service};

/// Seats and places.
pub(super) const I1: Invariant = Invariant {
    id: "I1",
    meaning: "no seat has two live claims, no area exceeds its capacity, and claims are exactly what live bookings hold, and used seats",
    checks: &[
        Check::rows(Service::Booking, "booking_items", SEAT_IN_TWO_BOOKINGS),
        Check::rows(Service::Booking, "booking_items", ITEM_WITHOUT_CLAIM),
        Check::rows(Service::Booking, "booking_items", PLACES_WITHOUT_CLAIM),
        Check::rows(Service::Booking, "seat_claims", SEAT_CLAIM_WITHOUT_BOOKING),
        Check::rows(Service::Booking, "area_claims", AREA_CLAIM_WITHOUT_BOOKING),
        Check::rows(Service::Booking, "area_counters", COUNTER_OFF),
    ],
};

const SEAT_IN_TWO_BOOKINGS: &str = "
    SELECT i.seat_id AS id, b.event_id AS other, 'the seat is in ' || count(*) || ' live bookings of event {other}' AS what
    FROM booking_items i JOIN bookings b ON b.id = i.booking_id
    WHERE i.seat_id IS NOT NULL AND i.cancelled_at IS NULL AND {live}
    GROUP BY i.seat_id, b.event_id HAVING count(*) > 1";

const ITEM_WITHOUT_CLAIM: &str = "
    SELECT i.id AS id, b.id AS other, 'its booking {other} is ' || b.state || ' but its seat is ' || CASE
        WHEN c.booking_id IS NULL THEN 'not claimed'
        WHEN c.booking_id <> b.id THEN 'claimed by another booking'
        WHEN c.fence <> b.fence THEN 'claimed under fence ' || c.fence || ' instead of ' || b.fence
        ELSE 'claimed as ' || c.state END AS what
    FROM bookings b JOIN booking_items i ON i.booking_id = b.id
    LEFT JOIN seat_claims c ON c.event_id = b.event_id AND c.seat_id = i.seat_id
    WHERE i.seat_id IS NOT NULL AND i.cancelled_at IS NULL AND {live} AND (c.booking_id IS NULL OR c.booking_id <> b.id OR c.fence <> b.fence
        OR (c.state = 'sold') <> (b.state = 'CONFIRMED'))";

const PLACES_WITHOUT_CLAIM: &str = "
    SELECT b.id AS id, i.area_id AS other, 'it is ' || b.state || ' with ' || i.places || ' places of area {other}, but '
        || CASE WHEN c.quantity IS NULL THEN 'claims none'
            WHEN c.fence <> b.fence THEN 'claims them under fence ' || c.fence || ' instead of ' || b.fence
            ELSE 'claims ' || c.quantity || ' as ' || c.state END AS what
    FROM bookings b JOIN (
        SELECT booking_id, area_id, count(*) AS places FROM booking_items
        WHERE area_id IS NOT NULL AND cancelled_at IS NULL GROUP BY booking_id, area_id) i ON i.booking_id = b.id
    LEFT JOIN area_claims c ON c.event_id = b.event_id AND c.area_id = i.area_id AND c.booking_id = b.id
    WHERE {live} AND (c.quantity IS NULL OR c.quantity <> i.places OR c.fence <> b.fence
        OR (c.state = 'sold') <> (b.state = 'CONFIRMED'))";

const SEAT_CLAIM_WITHOUT_BOOKING: &str = "
    SELECT c.seat_id AS id, c.booking_id AS other, 'the seat is ' || c.state || ' for booking {other}, which ' || CASE
        WHEN b.id IS NULL THEN 'does not exist'
        WHEN b.event_id <> c.event_id THEN 'is of another event'
        WHEN i.id IS NULL THEN 'has no such item'
        WHEN b.state = 'CONFIRMED' AND i.cancelled_at IS NOT NULL THEN 'has cancelled it'
        WHEN b.state = 'PAYING' AND b.claims_held = FALSE THEN 'has given its claims back'
        ELSE 'is ' || b.state || coalesce(' until ' || coalesce(b.grace_until, b.expires_at), '') END AS what
    FROM seat_claims c LEFT JOIN bookings b ON b.id = c.booking_id
    LEFT JOIN booking_items i ON i.booking_id = c.booking_id AND i.seat_id = c.seat_id
    LEFT JOIN tickets t ON t.item_id = i.id AND t.used_at IS NOT NULL
    WHERE b.id IS NULL OR b.event_id <> c.event_id OR i.id IS NULL OR b.state NOT IN ('HELD', 'PAYING', 'CONFIRMED', 'CANCELLED')
        OR (b.state = 'CANCELLED' AND t.id IS NULL) OR (b.state = 'CONFIRMED' AND i.cancelled_at IS NOT NULL)
        OR (b.state = 'PAYING' AND b.claims_held = FALSE) OR (c.state = 'sold') <> (b.state IN ('CONFIRMED', 'CANCELLED'))
        OR c.expires_at <> coalesce(b.grace_until, b.expires_at)";

const AREA_CLAIM_WITHOUT_BOOKING: &str = "
    SELECT c.area_id AS id, c.booking_id AS other, c.quantity || ' places are ' || c.state || ' for booking {other}, which '
        || CASE WHEN b.id IS NULL THEN 'does not exist'
            WHEN b.event_id <> c.event_id THEN 'is of another event'
            WHEN b.state = 'PAYING' AND b.claims_held = FALSE THEN 'has given its claims back'
            WHEN NOT EXISTS (SELECT 1 FROM booking_items i WHERE i.booking_id = c.booking_id AND i.area_id = c.area_id)
                THEN 'has no such item'
            ELSE 'is ' || b.state || coalesce(' until ' || coalesce(b.grace_until, b.expires_at), '') END AS what
    FROM area_claims c LEFT JOIN bookings b ON b.id = c.booking_id
    WHERE b.id IS NULL OR b.event_id <> c.event_id OR b.state NOT IN ('HELD', 'PAYING', 'CONFIRMED', 'CANCELLED')
        OR (b.state = 'CANCELLED' AND c.quantity <> (SELECT count(*) FROM booking_items i JOIN tickets t ON t.item_id = i.id
            WHERE i.booking_id = b.id AND i.area_id = c.area_id AND t.used_at IS NOT NULL))
        OR (b.state = 'PAYING' AND b.claims_held = FALSE) OR (c.state = 'sold') <> (b.state IN ('CONFIRMED', 'CANCELLED'))
        OR c.expires_at <> coalesce(b.grace_until, b.expires_at)
        OR NOT EXISTS (SELECT 1 FROM booking_items i WHERE i.booking_id = c.booking_id AND i.area_id = c.area_id)";

const COUNTER_OFF: &str = "
    SELECT coalesce(n.area_id, c.area_id) AS id, coalesce(n.event_id, c.event_id) AS other,
        'the counter says ' || coalesce(CAST(n.taken AS text), 'nothing') || ' of ' || coalesce(CAST(n.capacity AS text), 'nothing')
        || ' and the claims hold ' || coalesce(c.held, 0) || ' for event {other}' AS what
    FROM (SELECT event_id, area_id FROM area_counters UNION SELECT event_id, area_id FROM area_claims) k
    LEFT JOIN area_counters n ON n.event_id = k.event_id AND n.area_id = k.area_id
    LEFT JOIN (SELECT event_id, area_id, CAST(sum(quantity) AS bigint) AS held FROM area_claims GROUP BY event_id, area_id) c
        ON c.event_id = k.event_id AND c.area_id = k.area_id
    WHERE n.taken IS NULL OR n.taken <> coalesce(c.held, 0) OR n.taken > n.capacity";
