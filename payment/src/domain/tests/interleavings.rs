//! Random facts, answers, callbacks and retries in random order: money never moves twice, and never more than there is.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Move {
    Authorise(u32, i64),
    Confirm(u32, i64),
    Void(u32),
    GiveBack(usize, i64),
    End,
    Answer(Outcome),
    LateAnswer(i32, Outcome),
    Hear(u32, Told),
    RetryRefund(usize),
    RetryVoid(u32),
}

/// News, with refunds by their place among those of the test.
#[derive(Debug, Clone)]
enum Told {
    Approved(i64),
    Declined,
    Captured(i64),
    CaptureFailed,
    Voided,
    Refunded(usize, i64),
    RefundFailed(usize),
}

impl Told {
    fn news(&self, refunds: &[RefundId]) -> News {
        let code = || "NO".to_owned();
        match *self {
            Self::Approved(amount) => News::Approved { amount: eur(amount) },
            Self::Declined => News::Declined { code: code() },
            Self::Captured(amount) => News::Captured { amount: eur(amount) },
            Self::CaptureFailed => News::CaptureFailed { code: code() },
            Self::Voided => News::Voided,
            Self::Refunded(at, amount) => News::Refunded { refund: refunds[at], amount: eur(amount) },
            Self::RefundFailed(at) => News::RefundFailed { refund: refunds[at], code: code() },
        }
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let mismatch = Outcome::Mismatch { said: eur(2400) };
    prop_oneof![8 => Just(Outcome::Done), 2 => Just(refused("NO")), 2 => Just(unknown()), 1 => Just(mismatch)]
}

fn told() -> impl Strategy<Value = Told> {
    let amount = prop_oneof![6 => Just(2500_i64), 1 => 0..3000_i64];
    prop_oneof![
        3 => amount.clone().prop_map(Told::Approved),
        1 => Just(Told::Declined),
        2 => amount.prop_map(Told::Captured),
        1 => Just(Told::CaptureFailed),
        1 => Just(Told::Voided),
        2 => (0..4_usize, 0..2600_i64).prop_map(|(refund, amount)| Told::Refunded(refund, amount)),
        1 => (0..4_usize).prop_map(Told::RefundFailed),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    let amount = prop_oneof![8 => Just(2500_i64), 1 => 0..3000_i64];
    prop_oneof![
        3 => (1..4_u32, amount.clone()).prop_map(|(attempt, amount)| Move::Authorise(attempt, amount)),
        3 => (0..4_u32, amount).prop_map(|(attempt, amount)| Move::Confirm(attempt, amount)),
        1 => (0..4_u32).prop_map(Move::Void),
        3 => (0..4_usize, 0..2600_i64).prop_map(|(refund, amount)| Move::GiveBack(refund, amount)),
        1 => Just(Move::End),
        8 => outcomes().prop_map(Move::Answer),
        1 => (1..10_i32, outcomes()).prop_map(|(ordinal, outcome)| Move::LateAnswer(ordinal, outcome)),
        5 => (1..4_u32, told()).prop_map(|(attempt, news)| Move::Hear(attempt, news)),
        1 => (0..4_usize).prop_map(Move::RetryRefund),
        1 => (1..4_u32).prop_map(Move::RetryVoid),
    ]
}

/// What a move decides; `None` where it is refused.
fn make(payment: Payment, step: Move, refunds: &[RefundId]) -> Option<Decision> {
    let decided = match step {
        Move::Authorise(attempt, amount) => payment.authorise(attempt, eur(amount), "tok".to_owned()),
        Move::Confirm(attempt, amount) => payment.confirm(attempt, eur(amount)),
        Move::Void(attempt) => payment.void(attempt),
        Move::GiveBack(at, amount) => refund(payment, refunds[at], amount),
        Move::End => Ok(payment.booking_ended("BookingExpired")),
        Move::Answer(outcome) => {
            let ordinal = payment.current_step().map_or(0, |s| s.ordinal);
            Ok(payment.answer(ordinal, outcome, &PATIENCE, now()))
        }
        Move::LateAnswer(ordinal, outcome) => {
            // Only finished steps: steps of one payment are answered in order.
            let current = payment.current_step().map_or(i32::MAX, |s| s.ordinal);
            let ordinal = if ordinal < current { ordinal } else { 0 };
            Ok(payment.answer(ordinal, outcome, &PATIENCE, now()))
        }
        Move::Hear(attempt, told) => Ok(payment.hear(attempt, &told.news(refunds), &PATIENCE, now())),
        Move::RetryRefund(at) => return payment.retry_refund(refunds[at]).ok(),
        Move::RetryVoid(attempt) => return payment.retry_void(attempt).ok(),
    };
    decided.ok()
}

/// The ledger, as the store would keep it.
#[derive(Default)]
struct Books {
    balances: HashMap<Account, i64>,
    credited: HashMap<Account, i64>,
    causes: Vec<String>,
}

impl Books {
    fn enter(&mut self, movement: &Movement) {
        let amount = movement.amount.amount_minor();
        *self.balances.entry(movement.kind.debit()).or_default() += amount;
        *self.balances.entry(movement.kind.credit()).or_default() -= amount;
        *self.credited.entry(movement.kind.credit()).or_default() += amount;
        assert!(!self.causes.contains(&movement.cause), "{} moved money twice", movement.cause);
        self.causes.push(movement.cause.clone());
    }

    fn balance(&self, account: Account) -> i64 {
        self.balances.get(&account).copied().unwrap_or_default()
    }
}

fn check(payment: &Payment, books: &Books) {
    let captured = payment.captured_minor;
    assert!(captured <= payment.amount.amount_minor());
    let against_capture = [RefundState::Pending, RefundState::Done, RefundState::Stuck];
    assert!(payment.refunds_minor(&against_capture) <= captured, "refunds exceed the capture");
    assert_eq!(payment.refunds_minor(&[RefundState::Done]), payment.refunded_minor);

    let done = |kind| payment.steps.iter().filter(|s| s.kind() == kind && s.state == StepState::Done).count();
    assert!(payment.steps.iter().filter(|s| s.kind() == StepKind::Capture).count() <= 1);
    assert_eq!(captured > 0, done(StepKind::Capture) == 1);
    for step in payment.steps.iter().filter(|s| s.kind() == StepKind::Capture) {
        assert_eq!(payment.step(StepKind::Void, step.attempt), None, "captured and voided");
        let authorised = payment.step(StepKind::Authorise, step.attempt).unwrap();
        assert_eq!((authorised.state, authorised.amount), (StepState::Done, step.amount));
    }

    // At rest, money is held for the current attempt alone, and for that one if it is authorised.
    if payment.current_step().is_none() {
        assert!(
            payment.state != PaymentState::Authorised || payment.is_held(payment.attempt),
            "authorised without money"
        );
        for step in payment.steps.iter().filter(|s| payment.is_held(s.attempt)) {
            let stuck = payment.step(StepKind::Void, step.attempt).is_some_and(|v| v.state == StepState::Stuck);
            assert!(stuck || (step.attempt == payment.attempt && payment.state == PaymentState::Authorised));
        }
    }

    assert_eq!(books.balances.values().sum::<i64>(), 0);
    assert_eq!(books.credited.get(&Account::Customer).copied().unwrap_or_default(), captured);
    assert_eq!(books.balance(Account::ProviderReceivable), captured - payment.refunded_minor);
    let mut attempts: Vec<u32> = payment.steps.iter().map(|s| s.attempt).filter(|a| payment.is_held(*a)).collect();
    attempts.dedup();
    attempts.sort_unstable();
    attempts.dedup();
    let held: i64 =
        attempts.iter().filter_map(|a| payment.step(StepKind::Authorise, *a)).map(|s| s.amount.amount_minor()).sum();
    assert_eq!(books.balance(Account::Authorised), held);
}

/// Approvals told by a decision.
fn approvals(decision: &Decision) -> impl Iterator<Item = (u32, Money)> {
    decision.facts.iter().filter_map(|fact| match fact {
        PaymentFact::Authorised { attempt, amount } => Some((*attempt, *amount)),
        PaymentFact::Declined { .. }
        | PaymentFact::Captured { .. }
        | PaymentFact::CaptureFailed { .. }
        | PaymentFact::Voided { .. }
        | PaymentFact::Refunded { .. }
        | PaymentFact::Stuck { .. } => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn money_is_neither_lost_nor_moved_twice(sequence in proptest::collection::vec(moves(), 1..40)) {
        let refunds: Vec<RefundId> = (0..4).map(|_| RefundId::new()).collect();
        let mut payment = opened();
        let mut books = Books::default();
        for step in sequence {
            let Some(decision) = make(payment.clone(), step, &refunds) else { continue };
            let (from, to) = (payment.state, decision.next.state);
            prop_assert!(from == to || from.may_become(to), "{from:?} became {to:?}");
            for refund in &decision.next.refunds {
                let from = payment.refund(refund.id).map(|before| before.state);
                let legal = from.is_none_or(|from| from == refund.state || from.may_become(refund.state));
                prop_assert!(legal, "a refund became {:?} from {from:?}", refund.state);
            }
            for (approved, amount) in approvals(&decision) {
                prop_assert_eq!((approved, amount), (payment.attempt, payment.amount), "told of another approval");
            }
            decision.movements.iter().for_each(|m| books.enter(m));
            payment = decision.next;
            check(&payment, &books);
        }
    }
}
