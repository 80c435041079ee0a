//! Price lists: what each seat and place costs, in minor units of the event's currency.

use std::collections::BTreeMap;

use common::ids::{AreaId, SeatId};
use serde::{Deserialize, Serialize};

use super::fault::{Fault, quote};
use super::plan::Outline;

/// Highest price, minor units: sums of many stay exact, also in JSON numbers.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;
/// Most seats with a price of their own.
pub const SEAT_PRICES_MAX: usize = 2_000;

/// A price as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedPrice {
    /// What it applies to.
    pub target: AskedTarget,
    /// Minor units.
    pub amount_minor: i64,
}

/// What a price was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskedTarget {
    /// All seats of a category, by name.
    Category(String),
    /// All places of an area, by id.
    Area(String),
    /// One seat, by id, over its category.
    Seat(String),
    /// Nothing was named.
    Missing,
}

/// A price list whose targets all exist in its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceList {
    categories: BTreeMap<String, i64>,
    areas: BTreeMap<AreaId, i64>,
    seats: BTreeMap<SeatId, i64>,
}

/// The cheapest and the dearest seat or place, minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriceRange {
    /// Cheapest.
    pub min: i64,
    /// Dearest.
    pub max: i64,
}

/// The seats that prices are asked for, as far as they are ids at all.
pub fn asked_seats(asked: &[AskedPrice]) -> Vec<SeatId> {
    asked
        .iter()
        .filter_map(|price| match &price.target {
            AskedTarget::Seat(id) => SeatId::parse(id),
            AskedTarget::Category(_) | AskedTarget::Area(_) | AskedTarget::Missing => None,
        })
        .collect()
}

impl PriceList {
    /// Reads what was asked for; `outline` must know the [`asked_seats`].
    ///
    /// # Errors
    /// A target that is missing, unknown or named twice, or an amount out of range.
    pub fn new(asked: &[AskedPrice], outline: &Outline) -> Result<Self, Fault> {
        let mut list = Self::default();
        for (i, price) in asked.iter().enumerate() {
            let at = format!("prices.{i}");
            if !(0..=AMOUNT_MAX).contains(&price.amount_minor) {
                return Err(Fault::new(format!("{at}.amount_minor"), format!("must be 0 to {AMOUNT_MAX}")));
            }
            let before = list.insert(price, outline).map_err(|fault| fault.inside(&at))?;
            if before.is_some() {
                return Err(Fault::new(at, "is the second price for the same target"));
            }
            if list.seats.len() > SEAT_PRICES_MAX {
                return Err(Fault::new("prices", format!("name more than {SEAT_PRICES_MAX} single seats")));
            }
        }
        Ok(list)
    }

    fn insert(&mut self, price: &AskedPrice, outline: &Outline) -> Result<Option<i64>, Fault> {
        let unknown =
            |field, what, name: &str| Err(Fault::new(field, format!("the plan has no {what} {}", quote(name))));
        match &price.target {
            AskedTarget::Category(name) if outline.categories.iter().any(|c| c.name == *name) => {
                Ok(self.categories.insert(name.clone(), price.amount_minor))
            }
            AskedTarget::Category(name) => unknown("category", "category", name),
            AskedTarget::Area(id) => match AreaId::parse(id) {
                Some(area) if outline.areas.iter().any(|a| a.id == area) => {
                    Ok(self.areas.insert(area, price.amount_minor))
                }
                Some(_) | None => unknown("area_id", "area", id),
            },
            AskedTarget::Seat(id) => match SeatId::parse(id) {
                Some(seat) if outline.seats.contains_key(&seat) => Ok(self.seats.insert(seat, price.amount_minor)),
                Some(_) | None => unknown("seat_id", "seat", id),
            },
            AskedTarget::Missing => Err(Fault::new("category", "a price needs a category, an area_id or a seat_id")),
        }
    }

    /// Checks that everything in the plan can be sold.
    ///
    /// # Errors
    /// Names the first category with seats, or area, without a price.
    pub fn check_complete(&self, outline: &Outline) -> Result<(), Fault> {
        let category = outline.categories.iter().find(|c| c.seat_count > 0 && !self.categories.contains_key(&c.name));
        if let Some(category) = category {
            return Err(Fault::new("prices", format!("category {} has no price", quote(&category.name))));
        }
        match outline.areas.iter().find(|area| !self.areas.contains_key(&area.id)) {
            Some(area) => Err(Fault::new("prices", format!("area {} has no price", quote(&area.name)))),
            None => Ok(()),
        }
    }

    /// The prices that somebody could really pay: a category all of whose seats have a price of their own does not count.
    /// `outline` must know the seats of this list.
    pub fn range(&self, outline: &Outline) -> Option<PriceRange> {
        let categories = outline.categories.iter().filter_map(|category| {
            let own = self.seats.keys().filter(|seat| outline.seats.get(seat) == Some(&category.name)).count();
            self.categories.get(&category.name).filter(|_| category.seat_count as usize > own)
        });
        let prices: Vec<i64> = categories.chain(self.areas.values()).chain(self.seats.values()).copied().collect();
        Some(PriceRange { min: *prices.iter().min()?, max: *prices.iter().max()? })
    }

    /// What a seat costs; `None` when neither it nor its category has a price.
    pub fn of_seat(&self, seat: SeatId, category: &str) -> Option<i64> {
        self.seats.get(&seat).or_else(|| self.categories.get(category)).copied()
    }

    /// What a place of an area costs.
    pub fn of_area(&self, area: AreaId) -> Option<i64> {
        self.areas.get(&area).copied()
    }

    /// Prices by category, by name.
    pub fn categories(&self) -> impl Iterator<Item = (&str, i64)> {
        self.categories.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Prices by area.
    pub fn areas(&self) -> impl Iterator<Item = (AreaId, i64)> {
        self.areas.iter().map(|(id, amount)| (*id, *amount))
    }

    /// Seats with a price of their own.
    pub fn seats(&self) -> impl Iterator<Item = (SeatId, i64)> {
        self.seats.iter().map(|(id, amount)| (*id, *amount))
    }
}

#[cfg(test)]
mod tests {
    use common::ids::{SeatingPlanId, VenueId};

    use super::super::plan::{Area, Category};
    use super::*;

    fn outline() -> Outline {
        let category = |name: &str, seat_count| Category { name: name.into(), seat_count };
        Outline {
            plan_id: SeatingPlanId::new(),
            venue_id: VenueId::new(),
            categories: vec![category("A", 2), category("Empty", 0)],
            areas: vec![Area { id: AreaId::new(), name: "Floor".into(), capacity: 10 }],
            seats: [(SeatId::new(), "A".into()), (SeatId::new(), "A".into())].into(),
        }
    }

    fn price(target: AskedTarget, amount_minor: i64) -> AskedPrice {
        AskedPrice { target, amount_minor }
    }

    fn category(name: &str, amount: i64) -> AskedPrice {
        price(AskedTarget::Category(name.into()), amount)
    }

    fn area(outline: &Outline, amount: i64) -> AskedPrice {
        price(AskedTarget::Area(outline.areas[0].id.to_string()), amount)
    }

    fn seat(outline: &Outline, nth: usize, amount: i64) -> AskedPrice {
        price(AskedTarget::Seat(outline.seats.keys().nth(nth).unwrap().to_string()), amount)
    }

    #[test]
    fn unknown_targets_and_impossible_amounts_are_refused() {
        let outline = outline();
        for (field, asked) in [
            ("prices.1.category", vec![category("A", 1), category("B", 1)]),
            ("prices.0.area_id", vec![price(AskedTarget::Area("no id".into()), 1)]),
            ("prices.0.area_id", vec![price(AskedTarget::Area(AreaId::new().to_string()), 1)]),
            ("prices.0.seat_id", vec![price(AskedTarget::Seat(SeatId::new().to_string()), 1)]),
            ("prices.0.category", vec![price(AskedTarget::Missing, 1)]),
            ("prices.0.amount_minor", vec![category("A", -1)]),
            ("prices.0.amount_minor", vec![category("A", AMOUNT_MAX + 1)]),
            ("prices.1", vec![category("A", 1), category("A", 2)]),
        ] {
            assert_eq!(PriceList::new(&asked, &outline).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_list_is_complete_when_everything_that_exists_has_a_price() {
        let outline = outline();
        let complete = |asked: &[AskedPrice]| PriceList::new(asked, &outline).unwrap().check_complete(&outline);

        assert_eq!(complete(&[category("A", 0), area(&outline, 0)]), Ok(()));
        assert_eq!(complete(&[area(&outline, 0)]).unwrap_err().message, "category \"A\" has no price");
        assert_eq!(complete(&[category("A", 0)]).unwrap_err().message, "area \"Floor\" has no price");
    }

    #[test]
    fn the_range_counts_only_what_somebody_could_pay() {
        let outline = outline();
        let range = |asked: &[AskedPrice]| {
            PriceList::new(asked, &outline).unwrap().range(&outline).map(|range| (range.min, range.max))
        };

        assert_eq!(range(&[]), None);
        assert_eq!(range(&[category("A", 50), category("Empty", 1), area(&outline, 70)]), Some((50, 70)));
        assert_eq!(range(&[category("A", 50), seat(&outline, 0, 90)]), Some((50, 90)));
        assert_eq!(range(&[category("A", 50), seat(&outline, 0, 90), seat(&outline, 1, 80)]), Some((80, 90)));
    }

    #[test]
    fn a_seats_own_price_wins() {
        let outline = outline();
        let list = PriceList::new(&[category("A", 50), seat(&outline, 0, 90)], &outline).unwrap();
        let mut seats = outline.seats.keys();

        assert_eq!(list.of_seat(*seats.next().unwrap(), "A"), Some(90));
        assert_eq!(list.of_seat(*seats.next().unwrap(), "A"), Some(50));
        assert_eq!(list.of_seat(SeatId::new(), "B"), None);
    }

    #[test]
    fn a_list_survives_its_stored_form() {
        let outline = outline();
        let asked = [category("A", 50), area(&outline, 3), seat(&outline, 1, 90)];
        let list = PriceList::new(&asked, &outline).unwrap();

        let stored = serde_json::to_string(&list).unwrap();

        assert_eq!(serde_json::from_str::<PriceList>(&stored).unwrap(), list);
    }
}
