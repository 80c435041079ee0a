//! I10: stored totals are what a recount from the ledgers and items gives.

use super::check::{Check, Invariant, Service};

/// Recounts.
pub(super) const I10: Invariant = Invariant {
    id: "I10",
    meaning: "a recount of seats and money from items, claims and ledgers gives the stored totals",
    checks: &[
        Check::rows(Service::Payment, "ledger_entries", UNBALANCED),
        Check::rows(Service::Payment, "payments", PAYMENT_TOTALS),
        Check::rows(Service::Payment, "payments", STEP_TOTALS),
        Check::rows(Service::Provider, "provider_charges", CHARGE_TOTALS),
        Check::rows(Service::Booking, "bookings", BOOKING_TOTALS),
        Check::rows(Service::Booking, "booking_refunds", REFUND_TOTALS),
        Check::rows(Service::Booking, "events", SOLD_PLACES),
    ],
};

const UNBALANCED: &str = "
    SELECT movement AS id, payment_id AS other, 'of payment {other} debits ' || sum(debit_minor) || ' and credits '
        || sum(credit_minor) || ' in ' || count(*) || ' entries' AS what
    FROM ledger_entries GROUP BY movement, payment_id
    HAVING sum(debit_minor) <> sum(credit_minor) OR count(*) <> 2 OR min(currency) <> max(currency)";

/// Credits of the customer's account are captures, its debits refunds.
const PAYMENT_TOTALS: &str = "
    SELECT p.id AS id, 'stores ' || p.captured_minor || ' captured and ' || p.refunded_minor || ' refunded, the ledger has '
        || coalesce(l.captured, 0) || ' and ' || coalesce(l.refunded, 0) AS what
    FROM payments p LEFT JOIN (SELECT payment_id,
            sum(CASE WHEN account = 'customer' THEN credit_minor ELSE 0 END) AS captured,
            sum(CASE WHEN account = 'customer' THEN debit_minor ELSE 0 END) AS refunded,
            sum(CASE WHEN account = 'provider_receivable' THEN debit_minor - credit_minor ELSE 0 END) AS receivable
        FROM ledger_entries GROUP BY payment_id) l ON l.payment_id = p.id
    WHERE coalesce(l.captured, 0) <> p.captured_minor OR coalesce(l.refunded, 0) <> p.refunded_minor
        OR coalesce(l.receivable, 0) <> p.captured_minor - p.refunded_minor";

const STEP_TOTALS: &str = "
    SELECT p.id AS id, 'stores ' || p.captured_minor || ' captured and ' || p.refunded_minor || ' refunded, its steps did '
        || coalesce(s.captured, 0) || ' and ' || coalesce(s.refunded, 0) || ', its refunds say ' || coalesce(r.done, 0) AS what
    FROM payments p
    LEFT JOIN (SELECT payment_id, sum(CASE WHEN kind = 'capture' THEN amount_minor ELSE 0 END) AS captured,
            sum(CASE WHEN kind = 'refund' THEN amount_minor ELSE 0 END) AS refunded
        FROM provider_steps WHERE state = 'done' GROUP BY payment_id) s ON s.payment_id = p.id
    LEFT JOIN (SELECT payment_id, sum(amount_minor) AS done FROM refunds WHERE state = 'done' GROUP BY payment_id) r
        ON r.payment_id = p.id
    WHERE coalesce(s.captured, 0) <> p.captured_minor OR coalesce(s.refunded, 0) <> p.refunded_minor
        OR coalesce(r.done, 0) <> p.refunded_minor";

const CHARGE_TOTALS: &str = "
    SELECT c.reference AS name, 'stores ' || c.captured_minor || ' captured, ' || c.voided_minor || ' voided, '
        || c.refunded_minor || ' refunded, its entries have ' || coalesce(e.captured, 0) || ', ' || coalesce(e.voided, 0)
        || ', ' || coalesce(e.refunded, 0) AS what
    FROM provider_charges c LEFT JOIN (SELECT reference,
            sum(CASE WHEN kind = 'capture' THEN amount_minor ELSE 0 END) AS captured,
            sum(CASE WHEN kind = 'void' THEN amount_minor ELSE 0 END) AS voided,
            sum(CASE WHEN kind = 'refund' THEN amount_minor ELSE 0 END) AS refunded
        FROM provider_entries GROUP BY reference) e ON e.reference = c.reference
    WHERE coalesce(e.captured, 0) <> c.captured_minor OR coalesce(e.refunded, 0) <> c.refunded_minor
        OR coalesce(e.voided, 0) <> c.voided_minor";

/// A booking that ended keeps the count it had, so only that of a live one is recounted.
const BOOKING_TOTALS: &str = "
    SELECT b.id AS id, 'stores ' || b.places || ' places for ' || b.total_minor || ', its live items are '
        || coalesce(i.places, 0) || ' of ' || coalesce(i.total, 0) || ' in all' AS what
    FROM bookings b LEFT JOIN (SELECT booking_id, sum(price_minor) AS total,
            sum(CASE WHEN cancelled_at IS NULL THEN 1 ELSE 0 END) AS places
        FROM booking_items GROUP BY booking_id) i ON i.booking_id = b.id
    WHERE (b.state <> 'CANCELLED' AND coalesce(i.places, 0) <> b.places) OR coalesce(i.total, 0) <> b.total_minor";

const REFUND_TOTALS: &str = "
    SELECT b.id AS id, 'asked for refunds of ' || coalesce(r.asked, 0) || ', its items were paid back by '
        || coalesce(i.refunded, 0) AS what
    FROM bookings b
    LEFT JOIN (SELECT booking_id, sum(amount_minor) AS asked FROM booking_refunds GROUP BY booking_id) r
        ON r.booking_id = b.id
    LEFT JOIN (SELECT booking_id, sum(refunded_minor) AS refunded FROM booking_items GROUP BY booking_id) i
        ON i.booking_id = b.id
    WHERE coalesce(r.asked, 0) <> coalesce(i.refunded, 0)";

const SOLD_PLACES: &str = "
    SELECT e.event_id AS id, 'has ' || coalesce(b.places, 0) || ' places in confirmed bookings and '
        || coalesce(u.places, 0) || ' used ones in cancelled bookings, sold are '
        || coalesce(s.seats, 0) || ' seats and ' || coalesce(a.places, 0) || ' area places' AS what
    FROM events e
    LEFT JOIN (SELECT event_id, sum(places) AS places FROM bookings WHERE state = 'CONFIRMED' GROUP BY event_id) b
        ON b.event_id = e.event_id
    LEFT JOIN (SELECT k.event_id AS event_id, count(*) AS places FROM tickets t JOIN bookings k ON k.id = t.booking_id
        WHERE t.used_at IS NOT NULL AND k.state = 'CANCELLED' GROUP BY k.event_id) u ON u.event_id = e.event_id
    LEFT JOIN (SELECT event_id, count(*) AS seats FROM seat_claims WHERE state = 'sold' GROUP BY event_id) s
        ON s.event_id = e.event_id
    LEFT JOIN (SELECT event_id, sum(quantity) AS places FROM area_claims WHERE state = 'sold' GROUP BY event_id) a
        ON a.event_id = e.event_id
    WHERE coalesce(b.places, 0) + coalesce(u.places, 0) <> coalesce(s.seats, 0) + coalesce(a.places, 0)";
