//! Where the seats of an offer stand. Offers kept since before catalog told have no rows; they sell all the same.

use std::collections::HashMap;

use common::proto::catalog::v1::{OfferRow, OfferSeat};

use super::OfferError;
use crate::domain::hall::{Hall, RowShape, SeatKind, Spot};

/// What seats belong to.
pub(super) struct Seating {
    /// Names, by first appearance.
    pub categories: Vec<Box<str>>,
    /// The category of each seat.
    pub of_seats: Vec<u16>,
    /// `None` without rows.
    pub hall: Option<Hall>,
}

/// Reads rows and seats.
pub(super) fn read(rows: &[OfferRow], seats: &[OfferSeat]) -> Result<Seating, OfferError> {
    let mut categories: Vec<Box<str>> = Vec::new();
    let mut known: HashMap<&str, u16> = HashMap::new();
    let mut of_seats = Vec::with_capacity(seats.len());
    for seat in seats {
        let next = u16::try_from(categories.len()).map_err(|_| OfferError::Field("category"))?;
        let category = *known.entry(&seat.category).or_insert(next);
        if category == next {
            categories.push(seat.category.as_str().into());
        }
        of_seats.push(category);
    }
    let hall = if rows.is_empty() { None } else { Some(hall(rows, seats, &of_seats)?) };
    Ok(Seating { categories, of_seats, hall })
}

fn hall(rows: &[OfferRow], seats: &[OfferSeat], categories: &[u16]) -> Result<Hall, OfferError> {
    let shape = |row: &OfferRow| RowShape { zone: row.zone_index, seat_count: row.seat_count };
    let spot = |(seat, category): (&OfferSeat, &u16)| Spot {
        x: seat.x,
        y: seat.y,
        category: *category,
        kind: kind(seat),
        closed: seat.closed,
    };
    let shapes: Vec<RowShape> = rows.iter().map(shape).collect();
    let spots: Vec<Spot> = seats.iter().zip(categories).map(spot).collect();
    Hall::new(&shapes, &spots).ok_or(OfferError::Field("rows"))
}

fn kind(seat: &OfferSeat) -> SeatKind {
    match (seat.accessible, seat.companion) {
        (true, _) => SeatKind::Accessible,
        (false, true) => SeatKind::Companion,
        (false, false) => SeatKind::General,
    }
}
