//! Every state × every command and fact.

use chrono::{DateTime, Duration, Utc};

use super::fixtures::{TERMS, eur, event, held, start};
use super::{
    Authorised, Booking, BookingFact, BookingState, CancelCause, ClaimChange, ClaimCheck, CommandError, Decision,
    EventCheck, RefundWish, TicketChange,
};
use crate::domain::policy::{Bracket, Policy};

const TOKEN: &str = "tok_approve";

fn hold_end() -> DateTime<Utc> {
    start() + TERMS.hold
}

fn grace_end() -> DateTime<Utc> {
    hold_end() + TERMS.grace
}

fn in_state(state: BookingState) -> Booking {
    let attempts = match state {
        BookingState::Held { .. } => 1,
        BookingState::Paying { attempt, .. } | BookingState::Confirmed { attempt } => attempt,
        BookingState::Cancelled { .. } | BookingState::Expired | BookingState::Released => 2,
    };
    Booking { state, attempts, ..held(eur(2500)) }
}

fn paying(claims_held: bool) -> BookingState {
    BookingState::Paying { attempt: 2, expires_at: hold_end(), grace_until: grace_end(), claims_held }
}

fn cancelled(cause: CancelCause, sold: Option<u32>) -> BookingState {
    BookingState::Cancelled { cause, sold }
}

/// One booking in every state: attempt 2 is current where there is one.
fn every_state() -> Vec<Booking> {
    [
        BookingState::Held { expires_at: hold_end() },
        paying(true),
        paying(false),
        BookingState::Confirmed { attempt: 2 },
        cancelled(CancelCause::Customer, Some(2)),
        cancelled(CancelCause::EventCancelled, None),
        BookingState::Expired,
        BookingState::Released,
    ]
    .into_iter()
    .map(in_state)
    .collect()
}

fn authorised(attempt: u32) -> Authorised {
    Authorised { attempt, amount: eur(2500) }
}

fn cancelled_event() -> EventCheck {
    EventCheck { cancelled_at: Some(start()), ..event() }
}

/// What a decision comes to, briefly.
fn brief(decision: &Decision) -> String {
    let facts: Vec<&str> = decision
        .facts
        .iter()
        .map(|fact| match fact {
            BookingFact::Held { .. } => "Held",
            BookingFact::PaymentRequested { .. } => "PaymentRequested",
            BookingFact::Confirmed { .. } => "Confirmed",
            BookingFact::Expired => "Expired",
            BookingFact::Released => "Released",
            BookingFact::Cancelled { .. } => "Cancelled",
            BookingFact::VoidRequested { .. } => "VoidRequested",
            BookingFact::RefundRequested { .. } => "RefundRequested",
        })
        .collect();
    let claims = match decision.claims {
        ClaimChange::Keep => "keep",
        ClaimChange::Until(_) => "extend",
        ClaimChange::Sell => "sell",
        ClaimChange::GiveBack => "give back",
    };
    let tickets = match decision.tickets {
        TicketChange::Keep => "",
        TicketChange::Issue => " issue",
        TicketChange::VoidUnused => " void unused",
        TicketChange::Void => " void",
    };
    format!("{} {claims}{tickets} {facts:?}", decision.next.state.name())
}

fn briefly<E: std::fmt::Display>(decided: Result<Decision, E>) -> String {
    decided.map_or_else(|refusal| refusal.to_string(), |decision| brief(&decision))
}

fn optionally(decided: Option<Decision>) -> String {
    decided.map_or_else(|| "nothing".to_owned(), |decision| brief(&decision))
}

/// Checks one column of the table: the same input for every state, in the order of [`every_state`].
fn check(input: &str, decide: impl Fn(&Booking) -> String, expected: [&str; 8]) {
    for (booking, expected) in every_state().iter().zip(expected) {
        assert_eq!(decide(booking), expected, "{input} in {:?}", booking.state);
    }
}

#[test]
fn paying_starts_from_a_running_hold_alone() {
    let refused = "a booking in state PAYING cannot be paid";
    check(
        "pay",
        |b| briefly(b.pay(TOKEN, event(), start(), TERMS)),
        [
            r#"PAYING extend ["PaymentRequested"]"#,
            refused,
            refused,
            "a booking in state CONFIRMED cannot be paid",
            "a booking in state CANCELLED cannot be paid",
            "a booking in state CANCELLED cannot be paid",
            "the hold is over",
            "a booking in state RELEASED cannot be paid",
        ],
    );
}

#[test]
fn releasing_lets_a_running_hold_go_alone() {
    let refused = "a booking in state PAYING cannot be released";
    check(
        "release",
        |b| briefly(b.release(start())),
        [
            r#"RELEASED give back ["Released"]"#,
            refused,
            refused,
            "a booking in state CONFIRMED cannot be released",
            "a booking in state CANCELLED cannot be released",
            "a booking in state CANCELLED cannot be released",
            "the hold is over",
            "a booking in state RELEASED cannot be released",
        ],
    );
}

#[test]
fn cancelling_calls_a_confirmed_booking_off_alone() {
    check(
        "cancel",
        |b| briefly(b.cancel(&Policy::default(), event(), start())),
        [
            "a booking in state HELD cannot be cancelled",
            "a booking in state PAYING cannot be cancelled",
            "a booking in state PAYING cannot be cancelled",
            r#"CANCELLED give back void unused ["Cancelled", "RefundRequested"]"#,
            "a booking in state CANCELLED cannot be cancelled",
            "a booking in state CANCELLED cannot be cancelled",
            "a booking in state EXPIRED cannot be cancelled",
            "a booking in state RELEASED cannot be cancelled",
        ],
    );
}

#[test]
fn a_lapsed_hold_answers_commands_like_an_expired_one() {
    let booking = in_state(BookingState::Held { expires_at: hold_end() });
    let expired = in_state(BookingState::Expired);
    let now = hold_end();

    assert_eq!(booking.pay(TOKEN, event(), now, TERMS), Err(CommandError::HoldExpired));
    assert_eq!(booking.release(now), Err(CommandError::HoldExpired));
    let policy = Policy::default();
    assert_eq!(booking.cancel(&policy, event(), now), expired.cancel(&policy, event(), now));
}

#[test]
fn time_ends_holds_and_graces_alone() {
    let nothing = "nothing";
    check("a second early", |b| optionally(b.expire(hold_end() - Duration::seconds(1))), [nothing; 8]);
    check(
        "the hold's end",
        |b| optionally(b.expire(hold_end())),
        [r#"EXPIRED give back ["Expired"]"#, nothing, nothing, nothing, nothing, nothing, nothing, nothing],
    );
    check("a second early", |b| optionally(b.end_grace(grace_end() - Duration::seconds(1))), [nothing; 8]);
    check(
        "the grace's end",
        |b| optionally(b.end_grace(grace_end())),
        [nothing, "PAYING give back []", nothing, nothing, nothing, nothing, nothing, nothing],
    );
}

#[test]
fn a_cancelled_event_ends_holds_and_confirmed_bookings() {
    let nothing = "nothing";
    check(
        "the event is cancelled",
        |b| optionally(b.end_with_event(cancelled_event(), start())),
        [
            r#"CANCELLED give back ["Cancelled"]"#,
            nothing,
            nothing,
            r#"CANCELLED give back void ["Cancelled", "RefundRequested"]"#,
            nothing,
            nothing,
            nothing,
            nothing,
        ],
    );
}

#[test]
fn a_lapsed_hold_of_a_cancelled_event_stays_told_as_expired() {
    let booking = in_state(BookingState::Held { expires_at: hold_end() });

    assert_eq!(optionally(booking.end_with_event(cancelled_event(), hold_end())), r#"EXPIRED give back ["Expired"]"#);
}

#[test]
fn an_authorisation_of_the_current_attempt_confirms_while_the_claims_are_ours() {
    let confirmed = r#"CONFIRMED sell issue ["Confirmed"]"#;
    let void = |state: &str| format!(r#"{state} keep ["VoidRequested"]"#);
    for claims in [ClaimCheck::Ours, ClaimCheck::Retaken] {
        check(
            "authorised",
            |b| brief(&b.answer_authorisation(authorised(2), event(), claims)),
            [
                &void("HELD"),
                confirmed,
                confirmed,
                "CONFIRMED keep []",
                "CANCELLED keep []",
                &void("CANCELLED"),
                &void("EXPIRED"),
                &void("RELEASED"),
            ],
        );
    }
}

#[test]
fn an_authorisation_of_another_attempt_is_let_go_in_every_state() {
    let void = |state: &str| format!(r#"{state} keep ["VoidRequested"]"#);
    check(
        "attempt 1 authorised",
        |b| brief(&b.answer_authorisation(authorised(1), event(), ClaimCheck::Ours)),
        [
            &void("HELD"),
            &void("PAYING"),
            &void("PAYING"),
            &void("CONFIRMED"),
            &void("CANCELLED"),
            &void("CANCELLED"),
            &void("EXPIRED"),
            &void("RELEASED"),
        ],
    );
}

#[test]
fn an_authorisation_without_seats_or_event_or_with_another_amount_is_let_go() {
    let late = in_state(paying(false));
    let soon = in_state(paying(true));
    let other = Authorised { amount: eur(2400), ..authorised(2) };
    let gone = ClaimCheck::Gone;

    let seats_gone = late.answer_authorisation(authorised(2), event(), gone);
    let event_gone = soon.answer_authorisation(authorised(2), cancelled_event(), ClaimCheck::Ours);
    let other_amount = soon.answer_authorisation(other, event(), ClaimCheck::Ours);

    assert_eq!(brief(&seats_gone), r#"EXPIRED keep ["Expired", "VoidRequested"]"#);
    assert_eq!(brief(&event_gone), r#"CANCELLED give back ["Cancelled", "VoidRequested"]"#);
    assert_eq!(brief(&other_amount), r#"EXPIRED give back ["Expired", "VoidRequested"]"#);
}

#[test]
fn a_decline_leads_back_to_the_hold_with_its_original_end() {
    check(
        "declined",
        |b| brief(&b.answer_decline(2, "CARD_DECLINED", event(), start())),
        [
            "HELD keep []",
            "HELD extend []",
            "HELD extend []",
            "CONFIRMED keep []",
            "CANCELLED keep []",
            "CANCELLED keep []",
            "EXPIRED keep []",
            "RELEASED keep []",
        ],
    );

    let declined = in_state(paying(true)).answer_decline(2, "CARD_DECLINED", event(), start());

    assert_eq!(declined.next.state, BookingState::Held { expires_at: hold_end() });
    assert_eq!(declined.claims, ClaimChange::Until(hold_end()));
    assert_eq!(declined.next.decline_code.as_deref(), Some("CARD_DECLINED"));
}

#[test]
fn a_decline_after_the_hold_or_of_a_cancelled_event_ends_the_booking() {
    let soon = in_state(paying(true));
    let late = in_state(paying(false));

    assert_eq!(brief(&soon.answer_decline(2, "X", event(), hold_end())), r#"EXPIRED give back ["Expired"]"#);
    assert_eq!(brief(&late.answer_decline(2, "X", event(), grace_end())), r#"EXPIRED keep ["Expired"]"#);
    assert_eq!(brief(&soon.answer_decline(2, "X", cancelled_event(), start())), r#"CANCELLED give back ["Cancelled"]"#);
}

#[test]
fn a_decline_of_another_attempt_changes_nothing() {
    for booking in every_state() {
        assert_eq!(booking.answer_decline(1, "X", event(), start()), booking.unchanged());
    }
}

#[test]
fn a_failed_capture_calls_the_sold_booking_off_without_a_refund() {
    check(
        "capture failed",
        |b| brief(&b.answer_capture_failure(2, start())),
        [
            "HELD keep []",
            "PAYING keep []",
            "PAYING keep []",
            r#"CANCELLED give back void ["Cancelled"]"#,
            "CANCELLED keep []",
            "CANCELLED keep []",
            "EXPIRED keep []",
            "RELEASED keep []",
        ],
    );
    for booking in every_state() {
        assert_eq!(booking.answer_capture_failure(1, start()), booking.unchanged());
    }
}

#[test]
fn paying_is_refused_for_a_cancelled_event_and_for_unknown_tokens() {
    let booking = held(eur(2500));
    let lenient = super::Terms { test_tokens_only: false, ..TERMS };

    assert_eq!(booking.pay(TOKEN, cancelled_event(), start(), TERMS), Err(CommandError::EventCancelled));
    assert_eq!(booking.pay("tok_visa", event(), start(), TERMS), Err(CommandError::UnknownToken));
    assert!(booking.pay("tok_visa", event(), start(), lenient).is_ok());
    for malformed in ["", "tok\0visa", "tok\nvisa", "x".repeat(8 * 1024 + 1).as_str()] {
        assert_eq!(booking.pay(malformed, event(), start(), lenient), Err(CommandError::UnknownToken), "{malformed:?}");
    }
}

#[test]
fn a_total_of_zero_is_confirmed_at_once_and_refunded_with_nothing() {
    let free = held(eur(0));

    let confirmed = free.pay("", event(), start(), TERMS).unwrap();
    let cancelled = confirmed.next.cancel(&Policy::default(), event(), start()).unwrap();

    assert_eq!(brief(&confirmed), r#"CONFIRMED sell issue ["Confirmed"]"#);
    assert_eq!(confirmed.next.state, BookingState::Confirmed { attempt: 0 });
    assert_eq!(brief(&cancelled), r#"CANCELLED give back void unused ["Cancelled"]"#);
}

#[test]
fn a_started_event_cannot_be_cancelled_by_its_customer() {
    let booking = in_state(BookingState::Confirmed { attempt: 1 });
    let started = EventCheck { starts_at: start(), ..event() };

    let policy = Policy::default();
    assert_eq!(booking.cancel(&policy, started, start()), Err(CommandError::PolicyForbids));
}

/// Half back until a day before the start, less 2.00 EUR.
fn half() -> Policy {
    Policy::new(vec![Bracket { hours_before: 24, percent: 50 }], 200).unwrap()
}

fn refund_of(decision: &Decision) -> i64 {
    decision
        .facts
        .iter()
        .map(|f| if let BookingFact::RefundRequested { amount, .. } = f { amount.amount_minor() } else { 0 })
        .sum()
}

#[test]
fn a_customers_cancellation_gives_back_what_the_policy_says_and_keeps_the_rest() {
    let booking = in_state(BookingState::Confirmed { attempt: 1 });
    let soon = EventCheck { starts_at: start() + Duration::hours(23), ..event() };

    let early = booking.cancel(&half(), event(), start()).unwrap();
    let late = booking.cancel(&half(), soon, start()).unwrap();
    let called_off = booking.cancel(&half(), EventCheck { cancelled_at: Some(start()), ..soon }, start()).unwrap();

    assert_eq!((refund_of(&early), early.next.left(), early.next.kept_at()), (1050, eur(1450), Some(start())));
    assert_eq!(brief(&late), r#"CANCELLED give back void unused ["Cancelled"]"#);
    assert_eq!((refund_of(&called_off), called_off.next.kept_at()), (2500, None));
}

#[test]
fn a_cancelled_event_gives_back_what_was_kept_since_and_once() {
    let booking = in_state(BookingState::Confirmed { attempt: 1 });
    let kept = booking.cancel(&half(), event(), start()).unwrap().next;
    let before = EventCheck { cancelled_at: Some(start()), ..event() };
    let after = EventCheck { cancelled_at: Some(start() + Duration::microseconds(1)), ..event() };

    let given = kept.end_with_event(before, start()).unwrap();

    assert_eq!((brief(&given).as_str(), refund_of(&given)), (r#"CANCELLED keep ["RefundRequested"]"#, 1450));
    assert_eq!(kept.end_with_event(after, start()), None);
    assert_eq!(given.next.end_with_event(before, start()), None);
}

#[test]
fn a_cancelled_event_gives_back_all_that_is_left_of_live_items() {
    let booking = in_state(BookingState::Confirmed { attempt: 1 });
    let partly = booking.refund(&RefundWish::Amount(700), "sorry", start()).unwrap().next;

    let ended = partly.end_with_event(cancelled_event(), start()).unwrap();

    assert_eq!((refund_of(&ended), ended.next.left()), (1800, eur(0)));
}

#[test]
fn a_late_authorisation_may_retake_its_seats_for_a_day_unless_the_event_is_off_or_started() {
    let booking = in_state(paying(false));
    let day = Duration::hours(24);

    assert!(booking.may_retake(event(), grace_end() + day));
    assert!(!booking.may_retake(event(), grace_end() + day + Duration::microseconds(1)));
    assert!(!booking.may_retake(cancelled_event(), grace_end()));
    assert!(!booking.may_retake(EventCheck { starts_at: grace_end(), ..event() }, grace_end()));
    assert!(!in_state(BookingState::Expired).may_retake(event(), start()));
}

#[test]
fn stored_names_of_causes_are_read_back() {
    for cause in CancelCause::ALL {
        assert_eq!(CancelCause::parse(cause.name()), Some(cause));
    }
    assert_eq!(CancelCause::parse("WHIM"), None);
}
