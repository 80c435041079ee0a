//! Where the seats of an offer stand: rows, the blocks that aisles cut them into, columns, and how good each seat is. Built
//! once per offer. What is taken is not known here: see [`Snapshot`].

#[cfg(test)]
pub(crate) mod drawing;
mod frame;
mod snapshot;

use std::ops::Range;

use frame::Frame;
pub use snapshot::Snapshot;

/// A gap in a row wider than this many usual gaps is an aisle.
const AISLE: f32 = 1.6;
/// Steps of a score per seat's width.
const SCORE_STEPS: f32 = 16.0;

/// A row as the plan lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowShape {
    /// Its zone; rows of one zone follow each other.
    pub zone: u32,
    /// How many of the plan's next seats it has.
    pub seat_count: u32,
}

/// A seat as the plan draws it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spot {
    /// Plan units to the right.
    pub x: f32,
    /// Plan units down.
    pub y: f32,
    /// Price category, by first appearance in the plan.
    pub category: u16,
    /// Whom it is for.
    pub kind: SeatKind,
    /// Not for sale, for now.
    pub closed: bool,
}

/// Whom a seat is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatKind {
    /// Everybody.
    General,
    /// Wheelchair users.
    Accessible,
    /// Who comes with them.
    Companion,
}

/// All seats of an offer in plan order, in their rows.
#[derive(Debug)]
pub struct Hall {
    rows: Vec<Row>,
    seats: Vec<Seat>,
    /// Running totals before each seat, and after the last: a range of seats is rated by two look-ups.
    totals: Vec<Totals>,
}

/// A row with at least one seat.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its zone.
    pub zone: u32,
    /// Its seats.
    pub seats: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Seat {
    /// Seats to the right of its zone's middle; negative: to the left.
    column: f32,
    category: u16,
    kind: SeatKind,
    closed: bool,
    /// First of its row, or the first one behind an aisle.
    opens_block: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    score: u64,
    accessible: u32,
    general: u32,
    /// How often a seat was of another category than the one before.
    changes: u32,
}

impl Hall {
    /// A hall of these rows, which share out the seats in order; `None` when they do not add up.
    pub fn new(shapes: &[RowShape], spots: &[Spot]) -> Option<Self> {
        let rows = rows(shapes);
        if rows.last().map_or(0, |row| row.seats.end) != spots.len() {
            return None;
        }
        let mut hall =
            Self { seats: Vec::with_capacity(spots.len()), totals: Vec::with_capacity(spots.len() + 1), rows };
        hall.totals.push(Totals::default());
        let rows = hall.rows.clone();
        for zone in rows.chunk_by(|a, b| a.zone == b.zone) {
            hall.add_zone(zone, spots);
        }
        Some(hall)
    }

    fn add_zone(&mut self, rows: &[Row], spots: &[Spot]) {
        let frame = Frame::of(rows, spots);
        for (depth, row) in rows.iter().enumerate() {
            let aisle = frame.usual_gap(row, spots) * AISLE;
            for at in row.seats.clone() {
                let Spot { category, kind, closed, .. } = spots[at];
                let column = frame.column(row, spots, at);
                let opens_block = at == row.seats.start || (aisle > 0.0 && frame::gap(spots, at) > aisle);
                self.add_totals(score(depth, column), kind, category);
                self.seats.push(Seat { column, category, kind, closed, opens_block });
            }
        }
    }

    fn add_totals(&mut self, score: u32, kind: SeatKind, category: u16) {
        let before = self.totals.last().copied().unwrap_or_default();
        let changed = self.seats.last().is_some_and(|last| last.category != category);
        self.totals.push(Totals {
            score: before.score + u64::from(score),
            accessible: before.accessible + u32::from(kind == SeatKind::Accessible),
            general: before.general + u32::from(kind == SeatKind::General),
            changes: before.changes + u32::from(changed),
        });
    }

    /// Rows with seats, in plan order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Number of seats.
    pub fn seat_count(&self) -> usize {
        self.seats.len()
    }

    /// A seat's price category.
    pub fn category(&self, at: usize) -> u16 {
        self.seats[at].category
    }

    /// Whom a seat is for.
    pub fn kind(&self, at: usize) -> SeatKind {
        self.seats[at].kind
    }

    /// How far seats are from the front and middle of their zone, in sum: less is better.
    pub fn score(&self, seats: &Range<usize>) -> u64 {
        self.totals[seats.end].score - self.totals[seats.start].score
    }

    /// How many of these seats are for wheelchair users.
    pub fn accessible(&self, seats: &Range<usize>) -> u32 {
        self.totals[seats.end].accessible - self.totals[seats.start].accessible
    }

    /// How many of these seats are for everybody.
    pub fn general(&self, seats: &Range<usize>) -> u32 {
        self.totals[seats.end].general - self.totals[seats.start].general
    }

    /// Whether these seats, at least one, are of more than one category.
    pub fn mixed(&self, seats: &Range<usize>) -> bool {
        self.totals[seats.end].changes != self.totals[seats.start + 1].changes
    }

    /// Whether a row begins with this seat, or an aisle lies before it.
    pub fn opens_block(&self, at: usize) -> bool {
        self.seats[at].opens_block
    }

    /// The seats of a row around this one that no aisle parts from it.
    pub fn block(&self, at: usize) -> Range<usize> {
        let mut block = at..at + 1;
        while !self.seats[block.start].opens_block {
            block.start -= 1;
        }
        while block.end < self.seats.len() && !self.seats[block.end].opens_block {
            block.end += 1;
        }
        block
    }

    /// Leftmost and rightmost column of seats side by side, at least one.
    pub fn columns(&self, seats: &Range<usize>) -> (f32, f32) {
        let (first, last) = (self.column(seats.start), self.column(seats.end - 1));
        (first.min(last), first.max(last))
    }

    /// Column of a seat, in seat widths.
    pub fn column(&self, at: usize) -> f32 {
        self.seats[at].column
    }

    fn seat(&self, at: usize) -> &Seat {
        &self.seats[at]
    }
}

fn rows(shapes: &[RowShape]) -> Vec<Row> {
    let mut next = 0;
    let mut rows = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let start = next;
        next += shape.seat_count as usize;
        if next > start {
            rows.push(Row { zone: shape.zone, seats: start..next });
        }
    }
    rows
}

/// Distance to the middle of the zone's front row, counting rows and seats alike.
fn score(depth: usize, column: f32) -> u32 {
    ((depth as f32).hypot(column) * SCORE_STEPS).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seats of one row at these places, a unit apart unless drawn otherwise.
    fn drawn(xs: &[f32]) -> Vec<Spot> {
        let spot = |x: &f32| Spot { x: *x, y: 0.0, category: 0, kind: SeatKind::General, closed: false };
        xs.iter().map(spot).collect()
    }

    /// First seat of each block and of what follows it.
    fn blocks(xs: &[f32]) -> Vec<(usize, usize)> {
        let shape = RowShape { zone: 0, seat_count: u32::try_from(xs.len()).unwrap() };
        let hall = Hall::new(&[shape], &drawn(xs)).unwrap();
        let mut blocks: Vec<_> = (0..xs.len()).map(|at| (hall.block(at).start, hall.block(at).end)).collect();
        blocks.dedup();
        blocks
    }

    #[test]
    fn an_aisle_is_a_gap_wider_than_usual_in_its_row_and_zone() {
        assert_eq!(blocks(&[0.0, 22.0, 44.0, 110.0, 132.0]), [(0, 3), (3, 5)]);
        assert_eq!(blocks(&[0.0, 22.0, 46.0, 66.0]), [(0, 4)]);
        assert_eq!(blocks(&[0.0, 40.0]), [(0, 2)]);
        assert_eq!(blocks(&[132.0, 110.0, 44.0, 22.0, 0.0]), [(0, 2), (2, 5)]);
    }

    #[test]
    fn a_row_of_wider_seats_is_not_taken_apart() {
        let mut spots = drawn(&[0.0, 22.0, 44.0, 66.0, 88.0]);
        spots.extend(drawn(&[0.0, 50.0, 100.0]));
        let shapes = [RowShape { zone: 0, seat_count: 5 }, RowShape { zone: 0, seat_count: 3 }];

        let hall = Hall::new(&shapes, &spots).unwrap();

        assert_eq!(hall.block(6), 5..8);
    }

    #[test]
    fn a_plan_without_positions_has_centred_rows_without_aisles() {
        let shapes = [RowShape { zone: 0, seat_count: 3 }, RowShape { zone: 0, seat_count: 2 }];
        let hall = Hall::new(&shapes, &drawn(&[0.0; 5])).unwrap();

        assert_eq!((hall.block(0), hall.block(3)), (0..3, 3..5));
        assert_eq!(hall.columns(&(0..3)), (-1.0, 1.0));
        assert_eq!(hall.columns(&(3..5)), (-0.5, 0.5));
    }

    #[test]
    fn the_front_and_the_middle_are_best_whatever_way_a_zone_is_turned() {
        let across: Vec<Spot> = (0..15_u8).map(|n| at(f32::from(n % 5) * 20.0, f32::from(n / 5) * 30.0)).collect();
        let turned: Vec<Spot> = across.iter().map(|spot| at(spot.y, -spot.x)).collect();

        for spots in [across, turned] {
            let hall = Hall::new(&[RowShape { zone: 7, seat_count: 5 }; 3], &spots).unwrap();
            let mut best: Vec<usize> = (0..15).collect();
            best.sort_by_key(|at| hall.score(&(*at..at + 1)));
            assert_eq!(best[..6], [2, 1, 3, 7, 6, 8]);
        }
    }

    fn at(x: f32, y: f32) -> Spot {
        Spot { x, y, category: 0, kind: SeatKind::General, closed: false }
    }

    #[test]
    fn rows_that_do_not_add_up_are_no_hall() {
        assert!(Hall::new(&[RowShape { zone: 0, seat_count: 2 }], &drawn(&[0.0])).is_none());
        assert!(Hall::new(&[], &drawn(&[0.0])).is_none());
    }
}
