//! I3: every accepted booking ends, and nothing waits for something that is not coming.

use super::Databases;
use super::check::{Check, Found, Invariant, Offender, Service};
use super::pairs::{self, Pair};

/// Ends.
pub(super) const I3: Invariant = Invariant {
    id: "I3",
    meaning: "every accepted booking ends confirmed, expired, released or cancelled, and its payment with it",
    checks: &[
        Check::rows(Service::Booking, "bookings", HOLD_OVERDUE),
        Check::across(Service::Booking, "bookings", waits_for_nothing),
        Check::rows(Service::Payment, "payments", PAYMENT_WAITS_FOR_NOTHING),
    ],
};

const HOLD_OVERDUE: &str = "
    SELECT id, 'HELD, over for ' || (({now} - expires_at) / 1000000) || ' s' AS what
    FROM bookings WHERE state = 'HELD' AND expires_at < {now} - {minute}";

/// Authorising without a question to the provider, or authorised without booking's word for long.
const PAYMENT_WAITS_FOR_NOTHING: &str = "
    SELECT p.id AS id, 'it is ' || p.state || ' for ' || (({now} - p.updated_at) / 1000000)
        || ' s and asks the provider nothing' AS what
    FROM payments p WHERE p.state IN ('authorising', 'authorised') AND p.updated_at < {now} - {waiting}
        AND NOT EXISTS (SELECT 1 FROM provider_steps s WHERE s.payment_id = p.id
            AND s.state IN ('pending', 'unknown', 'stuck'))";

fn waits_for_nothing(databases: &Databases) -> Found<'_> {
    Box::pin(pairs::judge_all(databases, |pair| {
        let what = endless(pair).or_else(|| payment_left_open(pair))?;
        Some(Offender::new(Service::Booking, "bookings", pair.id, what))
    }))
}

/// A booking that waits for payment while payment has nothing under way. A stuck step is loud already.
fn endless(pair: &Pair) -> Option<String> {
    let booking = pair.booking.as_ref()?;
    let payment = pair.payment.as_ref();
    if payment.is_some_and(|payment| payment.unfinished + payment.stuck > 0) {
        return None;
    }
    let found = payment.map_or("missing", |payment| payment.state.as_str());
    if booking.grace_long_over {
        return Some(format!("PAYING long after its grace, while its payment is {found} and nothing is under way"));
    }
    let uncaptured = booking.state == "CONFIRMED" && booking.total_minor > 0 && !booking.captured;
    if uncaptured && booking.long_unchanged {
        return Some(format!("CONFIRMED without its money, while its payment is {found} and nothing is under way"));
    }
    if booking.refund_long_open {
        return Some(format!("waits for a refund, while its payment is {found} and nothing is under way"));
    }
    None
}

/// A payment that could still take money for a booking that has ended.
fn payment_left_open(pair: &Pair) -> Option<String> {
    let (booking, payment) = pair.at_rest()?;
    let ended = matches!(booking.state.as_str(), "EXPIRED" | "RELEASED" | "CANCELLED");
    let open = matches!(payment.state.as_str(), "open" | "authorising" | "authorised" | "declined");
    (ended && open && payment.stuck == 0).then(|| format!("{}, but its payment is {}", booking.state, payment.state))
}
