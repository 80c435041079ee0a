//! A hall at one instant: what is free, and which seats would be left alone.

use std::ops::Range;

use super::{Hall, SeatKind};

/// A hall with what is taken of it.
#[derive(Clone, Copy)]
pub struct Snapshot<'a> {
    /// The hall.
    pub hall: &'a Hall,
    /// Whether somebody has each seat, in plan order.
    pub taken: &'a [bool],
}

impl Snapshot<'_> {
    /// Whether a seat can be had.
    pub fn is_free(&self, at: usize) -> bool {
        !self.taken[at] && !self.hall.seat(at).closed
    }

    /// Whether a seat can be had by anybody: seats for wheelchair users and their companions are sold by themselves and
    /// keep nobody company.
    pub fn is_free_for_all(&self, at: usize) -> bool {
        self.is_free(at) && self.hall.kind(at) == SeatKind::General
    }

    /// How many seats beside these would be left alone, each between what is taken and what is not for everybody, a row's end
    /// or an aisle. One that is alone already does not count.
    pub fn orphans(&self, seats: &Range<usize>) -> u8 {
        let left = self.before(seats.start).is_some_and(|at| self.orphaned(at, seats.start, self.before(at)));
        let right = self.after(seats.end - 1).is_some_and(|at| self.orphaned(at, seats.end - 1, self.after(at)));
        u8::from(left) + u8::from(right)
    }

    /// Whether a seat loses its last company when `neighbour` is taken.
    fn orphaned(&self, at: usize, neighbour: usize, other: Option<usize>) -> bool {
        self.is_free_for_all(at) && self.is_free_for_all(neighbour) && !other.is_some_and(|at| self.is_free_for_all(at))
    }

    /// The seat before in the same block.
    fn before(&self, at: usize) -> Option<usize> {
        (!self.hall.opens_block(at)).then(|| at - 1)
    }

    /// The seat after in the same block.
    fn after(&self, at: usize) -> Option<usize> {
        (at + 1 < self.hall.seat_count() && !self.hall.opens_block(at + 1)).then_some(at + 1)
    }

    /// Whether a seat for all is free and alone in its block, counting these as taken, too.
    pub fn is_alone_without(&self, at: usize, picked: &[usize]) -> bool {
        let free = |at: usize| self.is_free_for_all(at) && !picked.contains(&at);
        free(at) && !self.before(at).is_some_and(free) && !self.after(at).is_some_and(free)
    }
}
