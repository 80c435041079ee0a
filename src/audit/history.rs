//! I8: the history of every booking, payment and event is a connected chain of legal transitions that ends where the row
//! stands. Histories are never cleaned.

use super::check::{Check, Invariant, Service};

/// Transitions.
pub(super) const I8: Invariant = Invariant {
    id: "I8",
    meaning: "only legal transitions happened, each from where the one before had led, up to the state found now",
    checks: &[
        Check::rows(Service::Booking, "history", BOOKING_ILLEGAL),
        Check::rows(Service::Payment, "history", PAYMENT_ILLEGAL),
        Check::rows(Service::Payment, "history", REFUND_ILLEGAL),
        Check::rows(Service::Catalog, "history", EVENT_ILLEGAL),
        Check::rows(Service::Booking, "history", BROKEN_CHAIN),
        Check::rows(Service::Payment, "history", BROKEN_CHAIN),
        Check::rows(Service::Catalog, "history", BROKEN_CHAIN),
        Check::rows(Service::Booking, "bookings", BOOKING_ELSEWHERE),
        Check::rows(Service::Payment, "payments", PAYMENT_ELSEWHERE),
        Check::rows(Service::Payment, "refunds", REFUND_ELSEWHERE),
        Check::rows(Service::Catalog, "events", EVENT_ELSEWHERE),
    ],
};

/// Check-ins and refunds stand in a booking's history without changing its state.
const BOOKING_ILLEGAL: &str = "
    SELECT entity_id AS id, 'went from ' || from_state || ' to ' || to_state || ' by ' || cause AS what FROM history
    WHERE entity = 'booking' AND from_state || '>' || to_state NOT IN ('>HELD', 'HELD>PAYING', 'HELD>CONFIRMED',
        'HELD>EXPIRED', 'HELD>RELEASED', 'HELD>CANCELLED', 'PAYING>HELD', 'PAYING>CONFIRMED', 'PAYING>EXPIRED',
        'PAYING>CANCELLED', 'CONFIRMED>CANCELLED', 'CONFIRMED>CONFIRMED', 'CANCELLED>CANCELLED')";

const PAYMENT_ILLEGAL: &str = "
    SELECT entity_id AS id, 'went from ' || from_state || ' to ' || to_state || ' by ' || cause AS what FROM history
    WHERE entity = 'payment' AND from_state || '>' || to_state NOT IN ('>open', 'open>authorising', 'open>closed',
        'authorising>authorised', 'authorising>declined', 'declined>authorising', 'declined>voided', 'declined>closed',
        'authorised>captured', 'authorised>voided', 'authorised>closed', 'captured>partly_refunded',
        'captured>refunded', 'partly_refunded>refunded')";

/// A migration notes refunds of before as they stood.
const REFUND_ILLEGAL: &str = "
    SELECT entity_id AS id, 'went from ' || from_state || ' to ' || to_state || ' by ' || cause AS what FROM history
    WHERE entity = 'refund' AND cause <> 'migration' AND from_state || '>' || to_state NOT IN ('>waiting', '>pending',
        '>nothing_to_refund', 'waiting>pending', 'waiting>nothing_to_refund', 'pending>done', 'pending>stuck',
        'stuck>pending', 'stuck>done')";

const EVENT_ILLEGAL: &str = "
    SELECT entity_id AS id, 'went from ' || from_state || ' to ' || to_state || ' by ' || cause AS what FROM history
    WHERE entity = 'event' AND from_state || '>' || to_state NOT IN ('>draft', 'draft>published', 'draft>cancelled',
        'published>cancelled')";

const BROKEN_CHAIN: &str = "
    SELECT entity_id AS id, 'left ' || from_state || ' for ' || to_state || ' while it was in ' || stood_at AS what
    FROM (SELECT entity_id, from_state, to_state,
            lag(to_state, 1, '') OVER (PARTITION BY entity, entity_id ORDER BY position) AS stood_at FROM history) h
    WHERE stood_at <> from_state";

const BOOKING_ELSEWHERE: &str = "
    SELECT b.id AS id, 'is ' || b.state || ', but its history ends in ' || coalesce(h.to_state, 'nothing') AS what
    FROM bookings b LEFT JOIN history h ON h.position = (SELECT max(position) FROM history WHERE entity_id = b.id)
    WHERE h.to_state IS NULL OR h.to_state <> b.state";

const PAYMENT_ELSEWHERE: &str = "
    SELECT p.id AS id, 'is ' || p.state || ', but its history ends in ' || coalesce(h.to_state, 'nothing') AS what
    FROM payments p LEFT JOIN history h ON h.position = (SELECT max(position) FROM history WHERE entity_id = p.id)
    WHERE h.to_state IS NULL OR h.to_state <> p.state";

const REFUND_ELSEWHERE: &str = "
    SELECT r.id AS id, 'is ' || r.state || ', but its history ends in ' || coalesce(h.to_state, 'nothing') AS what
    FROM refunds r LEFT JOIN history h ON h.position = (SELECT max(position) FROM history WHERE entity_id = r.id)
    WHERE h.to_state IS NULL OR h.to_state <> r.state";

const EVENT_ELSEWHERE: &str = "
    SELECT e.id AS id, 'is ' || e.status || ', but its history ends in ' || coalesce(h.to_state, 'nothing') AS what
    FROM events e LEFT JOIN history h ON h.position = (SELECT max(position) FROM history WHERE entity_id = e.id)
    WHERE h.to_state IS NULL OR h.to_state <> e.status";

#[cfg(test)]
mod tests {
    use payment::domain::{PaymentState, RefundState};

    use super::*;

    #[test]
    fn the_legal_transitions_of_payments_and_refunds_are_those_of_the_domain() {
        for (from, to) in PaymentState::ALL.iter().flat_map(|from| PaymentState::ALL.iter().map(move |to| (*from, *to)))
        {
            let listed = PAYMENT_ILLEGAL.contains(&format!("'{}>{}'", from.word(), to.word()));

            assert_eq!(listed, from.may_become(to), "{} to {}", from.word(), to.word());
        }
        for (from, to) in RefundState::ALL.iter().flat_map(|from| RefundState::ALL.iter().map(move |to| (*from, *to))) {
            let listed = REFUND_ILLEGAL.contains(&format!("'{}>{}'", from.word(), to.word()));

            assert_eq!(listed, from.may_become(to), "{} to {}", from.word(), to.word());
        }
    }
}
