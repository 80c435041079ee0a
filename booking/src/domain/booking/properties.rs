//! Random lives of a booking: commands, facts and time in any order, some of them late, doubled or wrong.

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};
use common::ids::{AreaId, ItemId, SeatId};
use proptest::prelude::*;

use super::fixtures::{TERMS, eur, event, held, start};
use super::{
    Authorised, Booking, BookingFact, BookingState, CancelCause, ClaimChange, ClaimCheck, Decision, EventCheck, Item,
    RefundWish, TicketChange,
};
use crate::domain::policy::{Bracket, Policy};

#[derive(Debug, Clone)]
enum Step {
    Pay,
    Release,
    Cancel,
    Sweep,
    Pass(u16),
    CancelEvent,
    Authorised { attempt: u32, amount_minor: i64, free: bool },
    Declined { attempt: u32 },
    CaptureFailed { attempt: u32 },
    Refund { items: Vec<usize>, amount_minor: Option<i64> },
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![9 => Just(2500_i64), 1 => Just(2400)];
    prop_oneof![
        5 => Just(Step::Pay),
        1 => Just(Step::Release),
        1 => Just(Step::Cancel),
        3 => Just(Step::Sweep),
        3 => (0_u16..400).prop_map(Step::Pass),
        1 => Just(Step::CancelEvent),
        5 => (1_u32..5, amount, any::<bool>())
            .prop_map(|(attempt, amount_minor, free)| Step::Authorised { attempt, amount_minor, free }),
        4 => (1_u32..5).prop_map(|attempt| Step::Declined { attempt }),
        1 => (1_u32..5).prop_map(|attempt| Step::CaptureFailed { attempt }),
        3 => (prop::collection::vec(0_usize..3, 0..3), prop::option::of(0_i64..2600))
            .prop_map(|(items, amount_minor)| Step::Refund { items, amount_minor }),
    ]
}

/// What a booking went through, and what must hold of it.
struct Life {
    booking: Booking,
    now: DateTime<Utc>,
    event: EventCheck,
    hold_end: DateTime<Utc>,
    /// Items whose seats are ours.
    owned: HashSet<ItemId>,
    /// Items with a valid ticket.
    tickets: HashSet<ItemId>,
    policy: Policy,
    confirmed_by: Option<u32>,
    facts: Vec<BookingFact>,
}

impl Life {
    fn begin(total: i64) -> Self {
        let seat = |price| Item::new(Some(SeatId::new()), None, "A-1", eur(price));
        let place = Item::new(None, Some(AreaId::new()), "Standing", eur(0));
        let items = vec![seat(total / 3), seat(total - total / 3), place];
        let owned = items.iter().map(|item| item.id).collect();
        let brackets = vec![Bracket { hours_before: 0, percent: 60 }];
        Self {
            booking: Booking { items, ..held(eur(total)) },
            policy: Policy::new(brackets, 100).unwrap(),
            now: start(),
            event: event(),
            hold_end: start() + TERMS.hold,
            owned,
            tickets: HashSet::new(),
            confirmed_by: None,
            facts: Vec::new(),
        }
    }

    fn live(&mut self, step: &Step) {
        // Payment speaks only of attempts that were asked for.
        if let Step::Authorised { attempt, .. } | Step::Declined { attempt } | Step::CaptureFailed { attempt } = step
            && *attempt > self.booking.attempts
        {
            return;
        }
        let before = &self.booking;
        let decision = match step {
            Step::Pay => before.pay("tok_approve", self.event, self.now, TERMS).ok(),
            Step::Release => before.release(self.now).ok(),
            Step::Cancel => before.cancel(&self.policy, self.event, self.now).ok(),
            Step::Refund { items, amount_minor } => {
                let items = items.iter().map(|at| before.items[*at].id).collect();
                RefundWish::new(items, *amount_minor).ok().and_then(|wish| before.refund(&wish, "r", self.now).ok())
            }
            Step::Sweep if self.event.is_cancelled() => {
                before.end_with_event(self.event, self.now).or(before.end_grace(self.now))
            }
            Step::Sweep => before.expire(self.now).or(before.end_grace(self.now)),
            Step::Pass(seconds) => {
                self.now += Duration::seconds((*seconds).into());
                None
            }
            Step::CancelEvent => {
                self.event.cancelled_at.get_or_insert(self.now);
                None
            }
            Step::Authorised { attempt, amount_minor, free } => {
                let payment = Authorised { attempt: *attempt, amount: eur(*amount_minor) };
                let claims = self.claims(payment, *free);
                if claims == ClaimCheck::Retaken {
                    self.owned = before.live_items().map(|item| item.id).collect();
                }
                Some(before.answer_authorisation(payment, self.event, claims))
            }
            Step::Declined { attempt } => Some(before.answer_decline(*attempt, "CARD_DECLINED", self.event, self.now)),
            Step::CaptureFailed { attempt } => Some(before.answer_capture_failure(*attempt, self.now)),
        };
        if let Some(decision) = decision {
            self.write(decision);
        }
    }

    /// What the saga finds out before it asks the booking; seats are taken again only when that can still matter.
    fn claims(&self, payment: Authorised, free: bool) -> ClaimCheck {
        match self.booking.state {
            BookingState::Paying { attempt, .. }
                if attempt != payment.attempt || payment.amount != self.booking.total =>
            {
                ClaimCheck::Gone
            }
            BookingState::Paying { grace_until, claims_held: true, .. } if grace_until > self.now => ClaimCheck::Ours,
            BookingState::Paying { .. } if free && self.booking.may_retake(self.event, self.now) => ClaimCheck::Retaken,
            BookingState::Paying { .. }
            | BookingState::Held { .. }
            | BookingState::Confirmed { .. }
            | BookingState::Cancelled { .. }
            | BookingState::Expired
            | BookingState::Released => ClaimCheck::Gone,
        }
    }

    fn write(&mut self, decision: Decision) {
        let Decision { next, claims, tickets, facts } = decision;
        self.check_transition(&next);
        let live: HashSet<ItemId> = self.booking.live_items().map(|item| item.id).collect();
        let given_up: HashSet<ItemId> = self.booking.items_given_up(&next).map(|item| item.id).collect();
        match claims {
            ClaimChange::Keep => {}
            ClaimChange::Until(until) => {
                assert_eq!(self.owned, live, "claims extended that are not ours");
                assert!(until <= self.hold_end + TERMS.grace, "a grace beyond the hold's end plus one grace");
            }
            ClaimChange::Sell => assert_eq!(self.owned, live, "claims sold that are not ours"),
            ClaimChange::GiveBack => {
                assert_eq!(self.owned, live, "claims given back twice");
                let sold = matches!(self.booking.state, BookingState::Confirmed { .. });
                self.owned.retain(|item| sold && !given_up.contains(item));
            }
        }
        match tickets {
            TicketChange::Keep => {}
            TicketChange::Issue => {
                assert!(self.tickets.is_empty(), "tickets issued twice");
                self.tickets = live;
            }
            TicketChange::VoidUnused | TicketChange::Void => {
                assert!(self.tickets.is_superset(&given_up), "tickets voided twice");
                self.tickets.retain(|item| !given_up.contains(item));
            }
        }
        for fact in &facts {
            self.check_fact(fact);
        }
        self.facts.extend(facts);
        self.booking = next;
    }

    fn check_transition(&self, next: &Booking) {
        use BookingState::{Cancelled, Confirmed, Expired, Held, Paying, Released};
        let legal = match (&self.booking.state, &next.state) {
            (Held { .. }, Paying { .. } | Confirmed { attempt: 0 } | Cancelled { .. } | Expired | Released)
            | (Paying { .. }, Held { .. } | Cancelled { .. } | Expired)
            | (Confirmed { .. }, Cancelled { .. }) => true,
            (Paying { attempt: a, .. }, Confirmed { attempt: b }) => a == b,
            (before, after) if before == after => true,
            (Paying { attempt: a, .. }, Paying { attempt: b, claims_held: false, .. }) => a == b,
            (Held { .. } | Paying { .. } | Confirmed { .. } | Cancelled { .. } | Expired | Released, _) => false,
        };
        assert!(legal, "{:?} → {:?}", self.booking.state, next.state);
    }

    fn check_fact(&mut self, fact: &BookingFact) {
        match fact {
            BookingFact::Confirmed { attempt } => {
                assert_eq!(self.confirmed_by.replace(*attempt), None, "confirmed twice");
                let voided =
                    |f: &BookingFact| matches!(f, BookingFact::VoidRequested { attempt: a, .. } if a == attempt);
                assert!(!self.facts.iter().any(voided), "a voided attempt confirms");
            }
            BookingFact::VoidRequested { attempt, .. } => {
                assert_ne!(self.confirmed_by, Some(*attempt), "the attempt that sold it is let go");
            }
            BookingFact::RefundRequested { amount, .. } => {
                assert!(self.confirmed_by.is_some_and(|attempt| attempt > 0), "a refund of what was never taken");
                assert!(!amount.is_zero(), "a refund of nothing");
            }
            BookingFact::Held { .. }
            | BookingFact::PaymentRequested { .. }
            | BookingFact::Expired
            | BookingFact::Released
            | BookingFact::Cancelled { .. } => {}
        }
    }

    /// What must hold of everything told, at any moment.
    fn check_all(&self) {
        let told = |wanted: fn(&BookingFact) -> bool| self.facts.iter().filter(|f| wanted(f)).count();
        let ends = told(|f| matches!(f, BookingFact::Expired | BookingFact::Released | BookingFact::Cancelled { .. }));
        assert!(ends <= 1, "ended more than once: {:?}", self.facts);
        let back: i64 = (self.facts.iter())
            .map(|f| if let BookingFact::RefundRequested { amount, .. } = f { amount.amount_minor() } else { 0 })
            .sum();
        let (total, left) = (self.booking.total.amount_minor(), self.booking.left().amount_minor());
        assert_eq!(total - back, left, "what went back and what is left make up the total");
        let kept = self.booking.items.iter().filter(|item| !item.is_live()).any(|item| !item.left().is_zero());
        assert!(kept || self.booking.kept_at().is_none(), "nothing is kept, but since some time");
        let requests: Vec<u32> = self
            .facts
            .iter()
            .filter_map(|f| if let BookingFact::PaymentRequested { attempt, .. } = f { Some(*attempt) } else { None })
            .collect();
        assert_eq!(requests, (1..=self.booking.attempts).collect::<Vec<_>>(), "attempts count 1, 2, 3");
        let (sold, ended) = match self.booking.state {
            BookingState::Confirmed { .. } => (true, false),
            BookingState::Cancelled { .. } | BookingState::Expired | BookingState::Released => (false, true),
            BookingState::Held { .. } | BookingState::Paying { .. } => (false, false),
        };
        let live = self.booking.live_items().filter(|_| sold).map(|item| item.id);
        assert_eq!(self.tickets, live.collect(), "valid tickets exactly of live items while confirmed");
        assert!(!sold || !self.tickets.is_empty(), "confirmed without a place");
        assert_eq!(ends == 1, ended);
        assert!(!ended || self.owned.is_empty(), "claims outlive the booking");
        let chosen = CancelCause::Customer;
        if matches!(self.booking.state, BookingState::Cancelled { cause, .. } if cause == chosen || cause == CancelCause::Admin)
        {
            assert!(self.confirmed_by.is_some(), "called off without having been sold");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_life_is_legal(steps in prop::collection::vec(step(), 1..60), free in prop::bool::weighted(0.1)) {
        let mut life = Life::begin(if free { 0 } else { 2500 });
        for step in &steps {
            life.live(step);
            life.check_all();
        }
    }

    #[test]
    fn every_life_ends_once_time_has_passed_and_attempts_have_outcomes(
        steps in prop::collection::vec(step(), 1..40),
        approved in any::<bool>(),
    ) {
        let mut life = Life::begin(2500);
        for step in &steps {
            life.live(step);
        }
        let current = life.booking.attempts;
        life.live(&Step::Pass(400));
        for _ in 0..3 {
            life.live(&Step::Pass(400));
            life.live(&Step::Sweep);
        }
        if approved {
            life.live(&Step::Authorised { attempt: current, amount_minor: 2500, free: false });
        } else {
            life.live(&Step::Declined { attempt: current });
        }
        life.check_all();
        let waiting = matches!(life.booking.state, BookingState::Held { .. } | BookingState::Paying { .. });
        prop_assert!(!waiting, "still {:?}", life.booking.state);
    }
}
