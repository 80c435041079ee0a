//! Money that goes back: what a box office may give, and how an amount comes off the items it was paid for. Booking alone
//! decides amounts, from its own items.

use chrono::{DateTime, Utc};
use common::ids::{ItemId, RefundId};
use common::money::Money;

use super::{Booking, BookingFact, BookingState, CancelCause, ClaimChange, CommandError, Decision, Item, TicketChange};

/// What a box office wants to give back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefundWish {
    /// All that is left, and every place with it.
    Everything,
    /// These items, and what is left of their prices or, in minor units, less.
    Items {
        /// Each once.
        items: Vec<ItemId>,
        /// Absent: all that is left of them.
        amount_minor: Option<i64>,
    },
    /// This amount, in minor units, and no place.
    Amount(i64),
}

/// Why a wish makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefundWishError {
    /// An item is named twice.
    #[error("item {0} is named twice")]
    Twice(ItemId),
    /// Not an amount that can go back.
    #[error("an amount to refund is above zero")]
    Amount,
}

impl RefundWish {
    /// A wish for items, an amount, both or neither. With items an amount may be zero: they are given up for nothing.
    pub fn new(items: Vec<ItemId>, amount_minor: Option<i64>) -> Result<Self, RefundWishError> {
        let least = if items.is_empty() { 1 } else { 0 };
        if amount_minor.is_some_and(|amount| amount < least) {
            return Err(RefundWishError::Amount);
        }
        let again = |at: usize| items[..at].contains(&items[at]);
        if let Some(at) = (0..items.len()).find(|at| again(*at)) {
            return Err(RefundWishError::Twice(items[at]));
        }
        Ok(match (items.is_empty(), amount_minor) {
            (true, None) => Self::Everything,
            (true, Some(amount_minor)) => Self::Amount(amount_minor),
            (false, amount_minor) => Self::Items { items, amount_minor },
        })
    }
}

impl Booking {
    /// Gives money back for a box office: with every place, with some, or with none. A booking that was cancelled for a fee
    /// can still give the fee back.
    pub fn refund(&self, wish: &RefundWish, reason: &str, now: DateTime<Utc>) -> Result<Decision, CommandError> {
        match (self.state, wish) {
            (BookingState::Confirmed { attempt }, RefundWish::Everything) => {
                let mut next = self.clone();
                let refund = next.take_off(self.left(), reason, |_| true);
                Ok(next.call_off(CancelCause::Admin, attempt, refund, now))
            }
            (BookingState::Confirmed { attempt }, RefundWish::Items { items, amount_minor }) => {
                self.refund_items(items, *amount_minor, attempt, reason, now)
            }
            (_, RefundWish::Everything) if self.was_paid() && !self.left().is_zero() => {
                self.refund_amount(self.left().amount_minor(), reason)
            }
            (_, RefundWish::Amount(amount_minor)) if self.was_paid() => self.refund_amount(*amount_minor, reason),
            (_, RefundWish::Everything | RefundWish::Items { .. } | RefundWish::Amount(_)) => {
                Err(self.refused("refunded", now))
            }
        }
    }

    /// Whether it was sold and its money was not refused afterwards.
    fn was_paid(&self) -> bool {
        match self.state {
            BookingState::Confirmed { .. } => true,
            BookingState::Cancelled { cause, sold } => sold.is_some() && cause != CancelCause::CaptureFailed,
            BookingState::Held { .. }
            | BookingState::Paying { .. }
            | BookingState::Expired
            | BookingState::Released => false,
        }
    }

    fn refund_items(
        &self,
        items: &[ItemId],
        amount_minor: Option<i64>,
        attempt: u32,
        reason: &str,
        now: DateTime<Utc>,
    ) -> Result<Decision, CommandError> {
        for id in items {
            let item = self.items.iter().find(|item| item.id == *id).ok_or(CommandError::NoSuchItem(*id))?;
            if !item.is_live() {
                return Err(CommandError::ItemCancelled(*id));
            }
        }
        let chosen = |item: &Item| items.contains(&item.id);
        let amount = self.at_most_left(amount_minor, chosen)?;
        let mut next = self.clone();
        let refund = next.take_off(amount, reason, chosen);
        if self.live_items().all(chosen) {
            return Ok(next.call_off(CancelCause::Admin, attempt, refund, now));
        }
        for item in next.items.iter_mut().filter(|item| chosen(item)) {
            item.cancelled_at = Some(now);
        }
        let facts = refund.into_iter().collect();
        Ok(Decision { next, claims: ClaimChange::GiveBack, tickets: TicketChange::VoidUnused, facts })
    }

    fn refund_amount(&self, amount_minor: i64, reason: &str) -> Result<Decision, CommandError> {
        let amount = self.at_most_left(Some(amount_minor), |_| true)?;
        Ok(self.paid_back(amount, reason, |_| true))
    }

    /// The amount asked for, or all that is left of the chosen items.
    fn at_most_left(&self, asked: Option<i64>, chosen: impl Fn(&Item) -> bool) -> Result<Money, CommandError> {
        let left = self.left_of(chosen);
        let Some(asked) = asked else { return Ok(left) };
        let amount =
            Money::new(asked, left.currency()).ok().filter(|amount| amount.amount_minor() <= left.amount_minor());
        amount.ok_or(CommandError::RefundExceeds { left })
    }

    /// What fees were kept of items cancelled since then, when there are any: their event was off already.
    pub(super) fn refund_kept(&self, since: DateTime<Utc>, reason: &str) -> Option<Decision> {
        let kept = |item: &Item| item.cancelled_at.is_some_and(|at| at >= since);
        let amount = self.left_of(kept);
        (self.was_paid() && !amount.is_zero()).then(|| self.paid_back(amount, reason, kept))
    }

    /// Money back, and no place.
    fn paid_back(&self, amount: Money, reason: &str, chosen: impl Fn(&Item) -> bool) -> Decision {
        let mut next = self.clone();
        let facts = next.take_off(amount, reason, chosen).into_iter().collect();
        Decision { next, claims: ClaimChange::Keep, tickets: TicketChange::Keep, facts }
    }

    /// What can still go back of everything that was paid.
    pub fn left(&self) -> Money {
        self.left_of(|_| true)
    }

    /// What can still go back of the chosen items.
    pub(super) fn left_of(&self, chosen: impl Fn(&Item) -> bool) -> Money {
        let left = self.items.iter().filter(|item| chosen(item)).map(|item| item.left().amount_minor());
        let (sum, currency) = (left.fold(0, i64::saturating_add), self.total.currency());
        Money::new(sum, currency).unwrap_or(Money::zero(currency))
    }

    /// Takes an amount off the chosen items, in proportion to what is left of each, and says that it goes back; nothing to say
    /// for nothing. More than is left of them is never taken.
    pub(super) fn take_off(
        &mut self,
        amount: Money,
        reason: &str,
        chosen: impl Fn(&Item) -> bool,
    ) -> Option<BookingFact> {
        let all = self.left_of(&chosen);
        let amount = if amount.amount_minor() > all.amount_minor() { all } else { amount };
        let items: Vec<&mut Item> = self.items.iter_mut().filter(|item| chosen(item)).collect();
        let left: Vec<i64> = items.iter().map(|item| item.left().amount_minor()).collect();
        for (item, share) in items.into_iter().zip(spread(amount.amount_minor(), &left)) {
            item.take_off(share);
        }
        let refund = BookingFact::RefundRequested { refund_id: RefundId::new(), amount, reason: reason.to_owned() };
        (!amount.is_zero()).then_some(refund)
    }
}

/// Splits an amount, at most their sum, over what is left of each item, in proportion; what rounding leaves over goes to the
/// first ones.
fn spread(amount: i64, left: &[i64]) -> Vec<i64> {
    let total: i128 = left.iter().copied().map(i128::from).sum();
    if total == 0 {
        return vec![0; left.len()];
    }
    let share = |left: &i64| i64::try_from(i128::from(amount) * i128::from(*left) / total).unwrap_or(*left);
    let mut shares: Vec<i64> = left.iter().map(share).collect();
    let mut rest = amount - shares.iter().sum::<i64>();
    for (share, left) in shares.iter_mut().zip(left) {
        if rest > 0 && *share < *left {
            *share += 1;
            rest -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixtures::{eur, held, start};
    use super::*;

    /// A confirmed booking of items at these prices.
    fn sold(prices: &[i64]) -> Booking {
        let item = |price: &i64| Item::new(Some(common::ids::SeatId::new()), None, "A-1", eur(*price));
        let items = prices.iter().map(item).collect();
        Booking { state: BookingState::Confirmed { attempt: 1 }, items, ..held(eur(prices.iter().sum())) }
    }

    fn refunded(decision: &Decision) -> i64 {
        let amount = |fact: &BookingFact| match fact {
            BookingFact::RefundRequested { amount, .. } => amount.amount_minor(),
            BookingFact::Held { .. }
            | BookingFact::PaymentRequested { .. }
            | BookingFact::Confirmed { .. }
            | BookingFact::Expired
            | BookingFact::Released
            | BookingFact::Cancelled { .. }
            | BookingFact::VoidRequested { .. } => 0,
        };
        decision.facts.iter().map(amount).sum()
    }

    fn items(booking: &Booking, at: &[usize], amount_minor: Option<i64>) -> RefundWish {
        RefundWish::new(at.iter().map(|at| booking.items[*at].id).collect(), amount_minor).unwrap()
    }

    #[test]
    fn everything_cancels_the_booking_and_gives_all_that_is_left() {
        let booking = sold(&[2500, 1000]);
        let partly = booking.refund(&RefundWish::Amount(700), "sorry", start()).unwrap().next;

        let decision = partly.refund(&RefundWish::Everything, "off", start()).unwrap();

        assert_eq!(refunded(&decision), 2800);
        let cause = CancelCause::Admin;
        assert_eq!(decision.next.state, BookingState::Cancelled { cause, sold: Some(1) });
        assert_eq!((decision.claims, decision.tickets), (ClaimChange::GiveBack, TicketChange::VoidUnused));
        assert!(decision.next.left().is_zero() && decision.next.live_items().next().is_none());
    }

    #[test]
    fn an_amount_comes_off_all_items_in_proportion_and_no_place_is_given_up() {
        let booking = sold(&[2500, 2500, 1]);

        let decision = booking.refund(&RefundWish::Amount(1001), "sorry", start()).unwrap();

        let shares: Vec<i64> = decision.next.items.iter().map(|item| item.refunded.amount_minor()).collect();
        assert_eq!(shares, [501, 500, 0]);
        assert_eq!((decision.claims, decision.tickets), (ClaimChange::Keep, TicketChange::Keep));
        assert_eq!((decision.next.state, refunded(&decision)), (booking.state, 1001));
        assert_eq!(decision.next.live_items().count(), 3);
    }

    #[test]
    fn items_are_given_up_for_what_is_left_of_them_or_less() {
        let booking = sold(&[2500, 1000, 500]);

        let whole = booking.refund(&items(&booking, &[1], None), "r", start()).unwrap();
        let less = booking.refund(&items(&booking, &[1, 2], Some(900)), "r", start()).unwrap();
        let nothing = booking.refund(&items(&booking, &[0], Some(0)), "r", start()).unwrap();

        assert_eq!((refunded(&whole), whole.next.items[1].is_live()), (1000, false));
        assert_eq!((whole.next.state, whole.next.kept_at()), (booking.state, None));
        assert_eq!((refunded(&less), less.next.left().amount_minor()), (900, 3100));
        assert_eq!(less.next.kept_at(), Some(start()));
        assert_eq!((nothing.facts.len(), nothing.next.live_items().count()), (0, 2));
        assert_eq!(booking.items_given_up(&less.next).count(), 2);
    }

    #[test]
    fn the_last_item_cancels_the_booking() {
        let booking = sold(&[2500, 1000]);
        let one = booking.refund(&items(&booking, &[0], None), "r", start()).unwrap().next;

        let last = one.refund(&items(&booking, &[1], Some(600)), "r", start()).unwrap();

        assert_eq!(last.next.state, BookingState::Cancelled { cause: CancelCause::Admin, sold: Some(1) });
        assert_eq!(last.facts[0], BookingFact::Cancelled { cause: CancelCause::Admin });
        assert_eq!((refunded(&last), last.next.left().amount_minor()), (600, 400));
    }

    #[test]
    fn a_kept_fee_can_still_go_back_once_the_booking_is_cancelled() {
        let booking = sold(&[2500]);
        let fee_kept = booking.refund(&items(&booking, &[0], Some(2000)), "r", start()).unwrap().next;

        let part = fee_kept.refund(&RefundWish::Amount(200), "r", start()).unwrap();
        let rest = part.next.refund(&RefundWish::Everything, "r", start()).unwrap();
        let over = rest.next.refund(&RefundWish::Everything, "r", start());

        assert_eq!((refunded(&part), refunded(&rest)), (200, 300));
        assert_eq!(rest.next.state, fee_kept.state);
        assert_eq!(over, Err(CommandError::InvalidState { found: "CANCELLED", wanted: "refunded" }));
        assert_eq!(rest.next.kept_at(), None);
    }

    #[test]
    fn more_than_is_left_is_refused_and_names_what_is() {
        let booking = sold(&[2500, 1000]);
        let exceeds = |left| Err(CommandError::RefundExceeds { left: eur(left) });

        assert_eq!(booking.refund(&RefundWish::Amount(3501), "r", start()), exceeds(3500));
        assert_eq!(booking.refund(&items(&booking, &[1], Some(1001)), "r", start()), exceeds(1000));
        assert_eq!(sold(&[0]).refund(&RefundWish::Amount(1), "r", start()), exceeds(0));
    }

    #[test]
    fn unknown_and_cancelled_items_are_refused() {
        let booking = sold(&[2500, 1000]);
        let stranger = ItemId::new();
        let one = booking.refund(&items(&booking, &[0], None), "r", start()).unwrap().next;
        let wish = RefundWish::new(vec![stranger], None).unwrap();

        assert_eq!(booking.refund(&wish, "r", start()), Err(CommandError::NoSuchItem(stranger)));
        let again = one.refund(&items(&booking, &[0], None), "r", start());
        assert_eq!(again, Err(CommandError::ItemCancelled(booking.items[0].id)));
    }

    #[test]
    fn wishes_are_checked_before_anything_is_looked_at() {
        let id = ItemId::new();

        assert_eq!(RefundWish::new(vec![], None), Ok(RefundWish::Everything));
        assert_eq!(RefundWish::new(vec![id, id], None), Err(RefundWishError::Twice(id)));
        assert_eq!(RefundWish::new(vec![], Some(0)), Err(RefundWishError::Amount));
        assert_eq!(RefundWish::new(vec![id], Some(-1)), Err(RefundWishError::Amount));
    }

    proptest! {
        #[test]
        fn shares_add_up_and_none_exceeds_what_is_left(
            left in prop::collection::vec(0_i64..=i64::MAX / 100, 1..100),
            part in 0.0_f64..=1.0,
        ) {
            let total: i64 = left.iter().sum();
            #[expect(clippy::cast_possible_truncation, reason = "any amount up to the total will do")]
            let amount = ((total as f64 * part) as i64).clamp(0, total);

            let shares = spread(amount, &left);

            prop_assert_eq!(shares.iter().sum::<i64>(), amount);
            prop_assert!(shares.iter().zip(&left).all(|(share, left)| (0..=*left).contains(share)));
        }

        #[test]
        fn refunds_in_any_order_never_exceed_what_was_paid(
            prices in prop::collection::vec(0_i64..10_000, 1..6),
            wishes in prop::collection::vec((prop::collection::vec(0_usize..6, 0..3), prop::option::of(0_i64..12_000)), 1..20),
        ) {
            let mut booking = sold(&prices);
            let mut back = 0;
            for (at, amount_minor) in wishes {
                let ids = at.into_iter().filter_map(|at| booking.items.get(at)).map(|item| item.id).collect();
                let Ok(wish) = RefundWish::new(ids, amount_minor) else { continue };
                if let Ok(decision) = booking.refund(&wish, "r", start()) {
                    back += refunded(&decision);
                    booking = decision.next;
                }
                prop_assert!(back <= prices.iter().sum::<i64>());
                prop_assert_eq!(booking.left().amount_minor(), prices.iter().sum::<i64>() - back);
                prop_assert!(booking.items.iter().all(|item| item.refunded.amount_minor() <= item.price.amount_minor()));
            }
        }
    }
}
