//! Money and price lists.

use async_graphql::{ID, InputObject, SimpleObject};
use common::proto::catalog::v1 as pb;
use common::proto::common::v1 as wire;

use super::scalars::BigInt;
use crate::error::UserError;

/// An amount of money.
#[derive(SimpleObject, Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// Whole minor units: cents for EUR, yen for JPY, fils (1/1000) for KWD. Never negative.
    pub amount_minor: BigInt,
    /// ISO 4217 code, three capital letters.
    pub currency: String,
}

impl From<wire::Money> for Money {
    fn from(money: wire::Money) -> Self {
        Self { amount_minor: BigInt(money.amount_minor), currency: money.currency }
    }
}

/// Cheapest and dearest seat or place of an event.
#[derive(SimpleObject)]
pub struct PriceRange {
    /// The cheapest.
    pub min: Money,
    /// The dearest.
    pub max: Money,
}

/// Price of a category of seats or of an area: exactly one of `category` and `areaId`.
#[derive(InputObject)]
pub struct PriceInput {
    /// All seats of this category.
    pub category: Option<String>,
    /// All places of this area.
    pub area_id: Option<ID>,
    /// Minor units of the event's currency, 0 or more.
    pub amount_minor: BigInt,
}

/// Price of one seat, over that of its category.
#[derive(InputObject)]
pub struct SeatPriceInput {
    /// The seat.
    pub seat_id: ID,
    /// Minor units of the event's currency, 0 or more.
    pub amount_minor: BigInt,
}

/// The whole price list, seat prices after the others.
///
/// # Errors
/// A price of neither or both of a category and an area.
pub fn price_list(prices: Vec<PriceInput>, seats: Option<Vec<SeatPriceInput>>) -> Result<Vec<pb::Price>, UserError> {
    use pb::price::Target;
    let mut list = Vec::with_capacity(prices.len());
    for (at, price) in prices.into_iter().enumerate() {
        let target = match (price.category, price.area_id) {
            (Some(category), None) => Target::Category(category),
            (None, Some(area)) => Target::AreaId(area.0),
            (Some(_), Some(_)) | (None, None) => {
                let text = "a price needs exactly one of category and areaId";
                return Err(UserError::invalid(&["prices", &at.to_string()], text));
            }
        };
        list.push(pb::Price { target: Some(target), amount_minor: price.amount_minor.0 });
    }
    for seat in seats.unwrap_or_default() {
        list.push(pb::Price { target: Some(Target::SeatId(seat.seat_id.0)), amount_minor: seat.amount_minor.0 });
    }
    Ok(list)
}

/// Points a refusal of the whole list's n-th price at the input list it came from.
pub fn own_list(mut refusal: UserError, prices: usize) -> UserError {
    if let Some([list, at, ..]) = refusal.field.as_deref_mut()
        && list == "prices"
        && let Ok(index) = at.parse::<usize>()
        && index >= prices
    {
        *list = "seatPrices".into();
        *at = (index - prices).to_string();
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(category: Option<&str>, area: Option<&str>) -> PriceInput {
        PriceInput { category: category.map(Into::into), area_id: area.map(ID::from), amount_minor: BigInt(5) }
    }

    #[test]
    fn a_price_needs_exactly_one_target() {
        for (category, area, good) in
            [(Some("A"), None, true), (None, Some("a1"), true), (None, None, false), (Some("A"), Some("a1"), false)]
        {
            let list = price_list(vec![price(Some("B"), None), price(category, area)], None);
            assert_eq!(list.is_ok(), good, "{category:?} {area:?}");
            if let Err(refusal) = list {
                assert_eq!(refusal.field, Some(vec!["prices".into(), "1".into()]));
            }
        }
    }

    #[test]
    fn refusals_of_seat_prices_point_at_their_own_list() {
        let refusal = UserError::invalid(&["prices", "3", "amountMinor"], "too low");

        assert_eq!(
            own_list(refusal.clone(), 2).field,
            Some(vec!["seatPrices".into(), "1".into(), "amountMinor".into()])
        );
        assert_eq!(own_list(refusal.clone(), 4), refusal);
    }
}
