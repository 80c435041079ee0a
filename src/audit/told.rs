//! I9: what was told is what is. Outboxes forget after seven days, so only rows younger than that are judged.

use super::check::{Check, Invariant, Service};

/// Facts and states.
pub(super) const I9: Invariant = Invariant {
    id: "I9",
    meaning: "facts are told under numbers without gaps, and the last state told is the state found or left by a recorded transition",
    checks: &[
        Check::young_rows(Service::Booking, "bookings", BOOKING_GAPS),
        Check::young_rows(Service::Payment, "payments", PAYMENT_GAPS),
        Check::young_rows(Service::Catalog, "events", EVENT_GAPS),
        Check::young_rows(Service::Booking, "bookings", BOOKING_TOLD),
        Check::young_rows(Service::Payment, "payments", PAYMENT_TOLD),
        Check::young_rows(Service::Catalog, "events", EVENT_TOLD),
        Check::young_rows(Service::Booking, "outbox", BOOKING_UNRECORDED),
    ],
};

const BOOKING_GAPS: &str = "
    SELECT b.id AS id, 'counts ' || b.sequence || ' facts, told are ' || coalesce(o.told, 0) || ' up to '
        || coalesce(o.top, 0) AS what
    FROM bookings b LEFT JOIN (SELECT aggregate_id, count(*) AS told, max(sequence) AS top FROM outbox
        GROUP BY aggregate_id) o ON o.aggregate_id = b.id
    WHERE coalesce(o.told, 0) <> b.sequence OR coalesce(o.top, 0) <> b.sequence";

const PAYMENT_GAPS: &str = "
    SELECT p.id AS id, 'counts ' || p.sequence || ' facts, told are ' || coalesce(o.told, 0) || ' up to '
        || coalesce(o.top, 0) AS what
    FROM payments p LEFT JOIN (SELECT aggregate_id, count(*) AS told, max(sequence) AS top FROM outbox
        GROUP BY aggregate_id) o ON o.aggregate_id = p.id
    WHERE coalesce(o.told, 0) <> p.sequence OR coalesce(o.top, 0) <> p.sequence";

const EVENT_GAPS: &str = "
    SELECT e.id AS id, 'counts ' || e.facts || ' facts, told are ' || coalesce(o.told, 0) || ' up to '
        || coalesce(o.top, 0) AS what
    FROM events e LEFT JOIN (SELECT aggregate_id, count(*) AS told, max(sequence) AS top FROM outbox
        GROUP BY aggregate_id) o ON o.aggregate_id = e.id
    WHERE coalesce(o.told, 0) <> e.facts OR coalesce(o.top, 0) <> e.facts";

/// A declined attempt goes back to HELD without a fact of booking's.
const BOOKING_TOLD: &str = "
    SELECT b.id AS id, 'is ' || b.state || ', but the last state told is ' || coalesce(o.kind, 'none') AS what
    FROM bookings b LEFT JOIN outbox o ON o.aggregate_id = b.id AND o.sequence = (
        SELECT max(s.sequence) FROM outbox s WHERE s.aggregate_id = b.id
            AND s.kind NOT IN ('eventix.booking.v1.VoidRequested', 'eventix.booking.v1.RefundRequested'))
    WHERE b.state || '>' || coalesce(o.kind, '') NOT IN (
        'HELD>eventix.booking.v1.BookingHeld', 'HELD>eventix.booking.v1.PaymentRequested',
        'PAYING>eventix.booking.v1.PaymentRequested', 'CONFIRMED>eventix.booking.v1.BookingConfirmed',
        'EXPIRED>eventix.booking.v1.BookingExpired', 'RELEASED>eventix.booking.v1.BookingReleased',
        'CANCELLED>eventix.booking.v1.BookingCancelled')";

/// Opening, closing without money, and an approval that is voided at once are told by nobody.
const PAYMENT_TOLD: &str = "
    SELECT p.id AS id, 'is ' || p.state || ', but the last state told is ' || coalesce(o.kind, 'none') AS what
    FROM payments p LEFT JOIN outbox o ON o.aggregate_id = p.id AND o.sequence = (
        SELECT max(s.sequence) FROM outbox s WHERE s.aggregate_id = p.id
            AND s.kind NOT IN ('eventix.payment.v1.PaymentRefunded', 'eventix.payment.v1.PaymentStuck'))
    WHERE p.state || '>' || coalesce(o.kind, '') NOT IN ('open>', 'authorising>',
        'authorising>eventix.payment.v1.PaymentDeclined', 'authorised>', 'authorised>eventix.payment.v1.PaymentDeclined',
        'authorised>eventix.payment.v1.PaymentAuthorised', 'declined>eventix.payment.v1.PaymentDeclined',
        'captured>eventix.payment.v1.PaymentCaptured', 'partly_refunded>eventix.payment.v1.PaymentCaptured',
        'refunded>eventix.payment.v1.PaymentCaptured', 'voided>eventix.payment.v1.PaymentVoided', 'closed>',
        'closed>eventix.payment.v1.PaymentDeclined', 'closed>eventix.payment.v1.PaymentVoided',
        'closed>eventix.payment.v1.PaymentCaptureFailed')";

const EVENT_TOLD: &str = "
    SELECT e.id AS id, 'is ' || e.status || ', but the last fact told is ' || coalesce(o.kind, 'none') AS what
    FROM events e LEFT JOIN outbox o ON o.aggregate_id = e.id AND o.sequence = e.facts
    WHERE e.status || '>' || coalesce(o.kind, '') NOT IN ('draft>', 'cancelled>',
        'published>eventix.catalog.v1.EventPublished', 'published>eventix.catalog.v1.EventChanged',
        'cancelled>eventix.catalog.v1.EventCancelled')";

/// As many transitions into a state are recorded as were told.
const BOOKING_UNRECORDED: &str = "
    SELECT o.aggregate_id AS id, 'told ' || o.told || ' times that it is ' || o.state || ', recorded are '
        || coalesce(h.recorded, 0) AS what
    FROM (SELECT aggregate_id, state, count(*) AS told FROM (
            SELECT aggregate_id, CASE kind WHEN 'eventix.booking.v1.PaymentRequested' THEN 'PAYING'
                WHEN 'eventix.booking.v1.BookingConfirmed' THEN 'CONFIRMED'
                WHEN 'eventix.booking.v1.BookingExpired' THEN 'EXPIRED'
                WHEN 'eventix.booking.v1.BookingReleased' THEN 'RELEASED'
                WHEN 'eventix.booking.v1.BookingCancelled' THEN 'CANCELLED' END AS state FROM outbox) s
        WHERE state IS NOT NULL GROUP BY aggregate_id, state) o
    LEFT JOIN (SELECT entity_id, to_state, count(*) AS recorded FROM history
        WHERE entity = 'booking' AND from_state <> to_state GROUP BY entity_id, to_state) h ON h.entity_id = o.aggregate_id AND h.to_state = o.state
    WHERE coalesce(h.recorded, 0) <> o.told";
