//! I2: what was taken less what goes back is what the customer still has, for booking, payment and provider alike.

use super::check::{Check, Found, Invariant, Offender, Service};
use super::pairs::{self, BookingSide, Pair};
use super::{Databases, provider};

/// Money per booking.
pub(super) const I2: Invariant = Invariant {
    id: "I2",
    meaning: "captured less refunded money is the price of what is still booked, one attempt is captured at most and every other one declined or voided, and the provider's ledger says the same",
    checks: &[
        Check::across(Service::Payment, "payments", sides_disagree),
        Check::rows(Service::Payment, "provider_steps", CAPTURED_TWICE),
        Check::rows(Service::Payment, "provider_steps", ATTEMPT_LEFT_OPEN),
        Check::rows(Service::Payment, "refunds", TOO_MUCH_GOES_BACK),
        Check::across(Service::Provider, "provider_charges", provider::disagrees),
        Check::across(Service::Provider, "provider_charges", provider::unknown_to_payment),
    ],
};

const CAPTURED_TWICE: &str = "
    SELECT payment_id AS id, count(*) || ' of its attempts are captured' AS what
    FROM provider_steps WHERE kind = 'capture' AND state = 'done' GROUP BY payment_id HAVING count(*) > 1";

/// An approved attempt is captured, voided, or the one that waits for booking's word.
const ATTEMPT_LEFT_OPEN: &str = "
    SELECT s.id AS id, s.payment_id AS other,
        'attempt ' || s.attempt || ' of payment {other} is approved, but neither captured nor voided' AS what
    FROM provider_steps s JOIN payments p ON p.id = s.payment_id
    WHERE s.kind = 'authorise' AND s.state = 'done' AND NOT (p.state = 'authorised' AND p.attempt = s.attempt)
        AND NOT EXISTS (SELECT 1 FROM provider_steps n WHERE n.payment_id = s.payment_id AND n.attempt = s.attempt
            AND n.kind IN ('capture', 'void'))";

const TOO_MUCH_GOES_BACK: &str = "
    SELECT p.id AS id, sum(r.amount_minor) || ' go back of ' || p.captured_minor || ' captured' AS what
    FROM payments p JOIN refunds r ON r.payment_id = p.id WHERE r.state IN ('pending', 'done', 'stuck')
    GROUP BY p.id, p.captured_minor HAVING sum(r.amount_minor) > p.captured_minor";

fn sides_disagree(databases: &Databases) -> Found<'_> {
    Box::pin(pairs::judge_all(databases, |pair| {
        let what = fault(pair)?;
        Some(Offender::new(Service::Payment, "payments", pair.id, what))
    }))
}

fn fault(pair: &Pair) -> Option<String> {
    match (&pair.booking, &pair.payment) {
        (Some(booking), None) if booking.settled_in => return Some("the booking has no payment".to_owned()),
        (None, Some(_)) => return Some("the payment has no booking".to_owned()),
        (Some(_), None | Some(_)) | (None, None) => {}
    }
    let (booking, payment) = pair.at_rest()?;
    if (booking.total_minor, &booking.currency) != (payment.amount_minor, &payment.currency) {
        return Some(format!(
            "the booking costs {} {}, the payment is about {} {}",
            booking.total_minor, booking.currency, payment.amount_minor, payment.currency
        ));
    }
    let due = due_minor(booking, payment.captured_minor);
    if payment.captured_minor - payment.going_back_minor != due {
        return Some(format!(
            "captured {}, going back {}, but the {} booking is worth {due}",
            payment.captured_minor, payment.going_back_minor, booking.state
        ));
    }
    let sold = booking.sold_attempt.filter(|attempt| *attempt > 0 && booking.state == "CONFIRMED")?;
    (payment.captured_attempt != Some(sold)).then(|| {
        let captured = payment.captured_attempt.map_or("none".to_owned(), |attempt| attempt.to_string());
        format!("the booking was sold for attempt {sold}, captured is {captured}")
    })
}

/// What the customer should have paid in the end: what is still booked and fees that were kept. A booking that was never
/// confirmed, or was cancelled before anything was captured, owes nothing.
fn due_minor(booking: &BookingSide, captured_minor: i64) -> i64 {
    let never_paid = booking.state != "CONFIRMED" && (captured_minor == 0 || !booking.issued);
    if never_paid { 0 } else { booking.kept_minor }
}
