//! One seat or place of a booking, and what is left of its price. Money that goes back always comes off items, so that what
//! each category earned can be told.

use chrono::{DateTime, Utc};
use common::ids::{AreaId, ItemId, SeatId};
use common::money::Money;

use super::{Booking, BookingState, CancelCause};

/// One seat, or one place of an area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: ItemId,
    /// The seat, or none for an area place.
    pub seat_id: Option<SeatId>,
    /// The area, or none for a seat.
    pub area_id: Option<AreaId>,
    /// For people.
    pub label: String,
    /// Price when it was held.
    pub price: Money,
    /// What of the price went back or is on its way; never more than the price.
    pub refunded: Money,
    /// When it was cancelled, alone or with its booking; none while it admits, and for what was never sold.
    pub cancelled_at: Option<DateTime<Utc>>,
}

impl Item {
    /// An item nobody has paid for yet.
    pub fn new(seat_id: Option<SeatId>, area_id: Option<AreaId>, label: &str, price: Money) -> Self {
        let refunded = Money::zero(price.currency());
        Self { id: ItemId::new(), seat_id, area_id, label: label.to_owned(), price, refunded, cancelled_at: None }
    }

    /// Whether it was not cancelled.
    pub fn is_live(&self) -> bool {
        self.cancelled_at.is_none()
    }

    /// What of its price can still go back.
    pub fn left(&self) -> Money {
        self.price.checked_sub(self.refunded).unwrap_or(Money::zero(self.price.currency()))
    }

    /// Takes a share off it that is at most what is left.
    pub(super) fn take_off(&mut self, share_minor: i64) {
        let refunded = self.refunded.amount_minor().saturating_add(share_minor);
        self.refunded = Money::new(refunded, self.price.currency()).unwrap_or(self.price);
    }
}

impl Booking {
    /// Items that were not cancelled, in order.
    pub fn live_items(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.is_live())
    }

    /// Live items that `next` has cancelled, in order.
    pub fn items_given_up<'a>(&'a self, next: &'a Self) -> impl Iterator<Item = &'a Item> {
        self.live_items().filter(|item| next.items.iter().any(|after| after.id == item.id && !after.is_live()))
    }

    /// When the newest fee was kept that has not gone back since; none when nothing is kept of cancelled items. Of a booking
    /// whose capture failed nothing was ever taken.
    pub fn kept_at(&self) -> Option<DateTime<Utc>> {
        if matches!(self.state, BookingState::Cancelled { cause: CancelCause::CaptureFailed, .. }) {
            return None;
        }
        self.items.iter().filter(|item| !item.left().is_zero()).filter_map(|item| item.cancelled_at).max()
    }

    /// Cancels every live item.
    pub(super) fn cancel_items(&mut self, now: DateTime<Utc>) {
        for item in self.items.iter_mut().filter(|item| item.is_live()) {
            item.cancelled_at = Some(now);
        }
    }
}
