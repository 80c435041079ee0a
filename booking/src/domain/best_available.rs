//! Best available: which seats a party gets that does not care to choose. A pure function of what is free, so that two calls
//! that see the same choose the same; whether the seats are still free, only the hold decides.
//!
//! A party sits side by side in one row; if no row has that, in one row across an aisle; if none has that either, in
//! neighbouring rows of one zone, one behind the other. Within each of these, what leaves no orphan wins over what does, one
//! category over several, an earlier category of the plan over a later one, and then what is nearest to the front and middle
//! of its zone.
//!
//! A general party never gets a seat for wheelchair users or companions. An accessible party gets at least one for wheelchair
//! users; beside it first seats for companions, then further ones for wheelchair users, then general ones. It is never split
//! over rows.

mod neighbours;

use std::ops::Range;

use super::hall::{Row, SeatKind, Snapshot};
use super::hold::SEATS_MAX;
use super::offer::Offer;

/// Characters of an unknown category that a refusal repeats.
const CATEGORY_SHOWN_MAX: usize = 64;

/// Who wants to sit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// How many, at least one.
    pub quantity: usize,
    /// Only in this category.
    pub category: Option<u16>,
    /// With a seat for a wheelchair user.
    pub accessible: bool,
}

/// Why a party makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// Nobody, or too many.
    #[error("a quantity is 1 to {SEATS_MAX}, not {0}")]
    Quantity(u32),
    /// The event has no such category.
    #[error("the event has no seats of category {0:?}")]
    Category(String),
    /// The event has areas only.
    #[error("the event has no seats")]
    NoSeats,
}

impl Party {
    /// Checks who wants to sit; an empty category is none.
    pub fn new(asked: u32, category: &str, accessible: bool, offer: &Offer) -> Result<Self, PartyError> {
        let quantity = usize::try_from(asked).ok().filter(|n| (1..=SEATS_MAX).contains(n));
        let quantity = quantity.ok_or(PartyError::Quantity(asked))?;
        if offer.seats.is_empty() {
            return Err(PartyError::NoSeats);
        }
        let unknown = || PartyError::Category(category.chars().take(CATEGORY_SHOWN_MAX).collect());
        let category = (!category.is_empty()).then(|| offer.category(category).ok_or_else(unknown)).transpose()?;
        Ok(Self { quantity, category, accessible })
    }
}

/// What ends a run of seats in a row, besides seats that the party cannot have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Aisles.
    Block,
    /// Nothing.
    Row,
    /// Aisles and changes of category.
    Category,
}

/// How good a choice is: less is better, the first difference decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rating {
    /// General seats given to an accessible party.
    general: u32,
    /// Seats left alone.
    orphans: u8,
    /// Somebody sits without a neighbour of the party.
    lonely: bool,
    /// Seats for wheelchair users.
    accessible: u32,
    /// Of several categories.
    mixed: bool,
    category: u16,
    score: u64,
}

/// The best seats for a party, in plan order; `None` when it cannot be seated together.
pub fn choose(snapshot: &Snapshot<'_>, party: &Party) -> Option<Vec<usize>> {
    let search = Search { snapshot, party };
    let in_one_row = search.in_one_row(Within::Block).or_else(|| search.in_one_row(Within::Row));
    match in_one_row {
        Some(seats) => Some(seats.collect()),
        None if party.accessible => None,
        None => search.in_neighbouring_rows(),
    }
}

/// One search for one party.
struct Search<'a> {
    snapshot: &'a Snapshot<'a>,
    party: &'a Party,
}

impl Search<'_> {
    /// The best seats one after the other in one row.
    fn in_one_row(&self, within: Within) -> Option<Range<usize>> {
        let quantity = self.party.quantity;
        let mut best: Option<(Rating, Range<usize>)> = None;
        for row in self.snapshot.hall.rows() {
            self.each_run(row, within, |run| {
                for start in run.start..(run.end + 1).saturating_sub(quantity) {
                    let seats = start..start + quantity;
                    if self.party.accessible && self.snapshot.hall.accessible(&seats) == 0 {
                        continue;
                    }
                    let rating = self.rate(std::slice::from_ref(&seats));
                    if best.as_ref().is_none_or(|(other, _)| rating < *other) {
                        best = Some((rating, seats));
                    }
                }
            });
        }
        best.map(|(_, seats)| seats)
    }

    /// Hands over the runs of seats in a row that the party may have, in order.
    fn each_run(&self, row: &Row, within: Within, mut found: impl FnMut(Range<usize>)) {
        let mut run = row.seats.start..row.seats.start;
        for at in row.seats.clone() {
            let suits = self.suits(at);
            if !suits || self.parts(at, within) {
                if !run.is_empty() {
                    found(run);
                }
                run = at..at;
            }
            run.end = at + 1;
            if !suits {
                run.start = at + 1;
            }
        }
        if !run.is_empty() {
            found(run);
        }
    }

    fn suits(&self, at: usize) -> bool {
        let hall = self.snapshot.hall;
        self.snapshot.is_free(at)
            && (self.party.accessible || hall.kind(at) == SeatKind::General)
            && self.party.category.is_none_or(|category| hall.category(at) == category)
    }

    /// Whether a run ends before this seat.
    fn parts(&self, at: usize, within: Within) -> bool {
        let hall = self.snapshot.hall;
        match within {
            Within::Row => false,
            Within::Block => hall.opens_block(at),
            Within::Category => hall.opens_block(at) || hall.category(at) != hall.category(at - 1),
        }
    }

    /// Rates seats of one or more rows, a range of each.
    fn rate(&self, pieces: &[Range<usize>]) -> Rating {
        let hall = self.snapshot.hall;
        let category = hall.category(pieces[0].start);
        Rating {
            general: if self.party.accessible { pieces.iter().map(|piece| hall.general(piece)).sum() } else { 0 },
            orphans: pieces.iter().map(|piece| self.snapshot.orphans(piece)).sum(),
            lonely: pieces.len() > 1 && pieces.iter().any(|piece| piece.len() == 1),
            accessible: pieces.iter().map(|piece| hall.accessible(piece)).sum(),
            mixed: pieces.iter().any(|piece| hall.mixed(piece) || hall.category(piece.start) != category),
            category,
            score: pieces.iter().map(|piece| hall.score(piece)).sum(),
        }
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
