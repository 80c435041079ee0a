//! Small random halls, in which every possible choice is looked at: what is chosen is among the best of them.

use std::ops::Range;

use proptest::prelude::*;

use super::neighbours::stand_behind;
use super::{Party, choose};
use crate::domain::hall::drawing::Drawing;
use crate::domain::hall::{SeatKind, Snapshot};

/// Seats side by side, in one row or in several neighbouring ones.
type Pieces = Vec<Range<usize>>;

/// Rows of a few seats with anything in them, among them aisles and ends of zones.
fn halls() -> impl Strategy<Value = Vec<String>> {
    let sign = prop_oneof![
        10 => Just('.'), 4 => Just(','), 5 => Just('x'), 1 => Just('a'), 1 => Just('c'), 1 => Just('|'), 1 => Just(' '),
        1 => Just('-'),
    ];
    let row = prop::collection::vec(sign, 0..9).prop_map(String::from_iter);
    prop::collection::vec(row, 1..6)
}

fn parties() -> impl Strategy<Value = Party> {
    let category = prop_oneof![3 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(1))];
    let party = |(quantity, category, accessible)| Party { quantity, category, accessible };
    (1..9_usize, category, prop::bool::weighted(0.25)).prop_map(party)
}

/// Everything a party could be given, looked at without any cleverness.
struct Oracle<'a> {
    snapshot: Snapshot<'a>,
    party: Party,
}

impl Oracle<'_> {
    fn suits(&self, at: usize) -> bool {
        let hall = self.snapshot.hall;
        self.snapshot.is_free(at)
            && (self.party.accessible || hall.kind(at) == SeatKind::General)
            && self.party.category.is_none_or(|category| category == hall.category(at))
    }

    /// Ranges of one row on which a party of this size could sit.
    fn ranges(&self, row: usize, quantity: usize) -> Vec<Range<usize>> {
        let seats = &self.snapshot.hall.rows()[row].seats;
        let starts = seats.start..(seats.end + 1).saturating_sub(quantity);
        let ranges = starts.map(|start| start..start + quantity);
        ranges.filter(|range| range.clone().all(|at| self.suits(at))).collect()
    }

    fn in_one_row(&self) -> Vec<Pieces> {
        let rows = 0..self.snapshot.hall.rows().len();
        let ranges = rows.flat_map(|row| self.ranges(row, self.party.quantity));
        let all = ranges.map(|range| vec![range]);
        all.filter(|pieces| !self.party.accessible || self.of_kind(pieces, SeatKind::Accessible) > 0).collect()
    }

    /// Choices over this many rows.
    fn in_rows(&self, rows: usize, one_category: bool) -> Vec<Pieces> {
        let mut found = Vec::new();
        for row in 0..self.snapshot.hall.rows().len() {
            self.extend(row, rows, one_category, &mut Vec::new(), &mut found);
        }
        found
    }

    /// Adds a piece in `row` and `rows - 1` more behind it.
    fn extend(&self, row: usize, rows: usize, one_category: bool, before: &mut Pieces, found: &mut Vec<Pieces>) {
        let hall = self.snapshot.hall;
        let seated: usize = before.iter().map(Range::len).sum();
        let left = self.party.quantity - seated;
        if row >= hall.rows().len() || left < rows {
            return;
        }
        let sizes = if rows == 1 { left..=left } else { 1..=left + 1 - rows };
        for piece in sizes.flat_map(|size| self.ranges(row, size)) {
            let behind = before.last().is_none_or(|front| {
                hall.rows()[row - 1].zone == hall.rows()[row].zone && stand_behind(hall, front, &piece)
            });
            before.push(piece);
            if behind && before.iter().all(|piece| self.side_by_side(piece)) && (!one_category || self.alike(before)) {
                if rows == 1 {
                    found.push(before.clone());
                } else {
                    self.extend(row + 1, rows - 1, one_category, before, found);
                }
            }
            before.pop();
        }
    }

    fn side_by_side(&self, piece: &Range<usize>) -> bool {
        self.snapshot.hall.block(piece.start).end >= piece.end
    }

    fn alike(&self, pieces: &[Range<usize>]) -> bool {
        let mut categories = pieces.iter().flat_map(Clone::clone).map(|at| self.snapshot.hall.category(at));
        let first = categories.next();
        categories.all(|category| Some(category) == first)
    }

    fn of_kind(&self, pieces: &[Range<usize>], kind: SeatKind) -> usize {
        pieces.iter().flat_map(Clone::clone).filter(|at| self.snapshot.hall.kind(*at) == kind).count()
    }

    /// Seats that a choice leaves alone, by comparing the hall before and after.
    fn orphans(&self, pieces: &[Range<usize>]) -> usize {
        let alone = |taken: &[Range<usize>]| -> Vec<usize> {
            let free = |at: usize| self.snapshot.is_free_for_all(at) && !taken.iter().any(|piece| piece.contains(&at));
            let company = |at: usize| {
                let block = self.snapshot.hall.block(at);
                block.into_iter().any(|other| other.abs_diff(at) == 1 && free(other))
            };
            (0..self.snapshot.hall.seat_count()).filter(|at| free(*at) && !company(*at)).collect()
        };
        let before = alone(&[]);
        alone(pieces).into_iter().filter(|at| !before.contains(at)).count()
    }

    /// General seats given to an accessible party, then orphans.
    fn cost(&self, pieces: &[Range<usize>]) -> (usize, usize) {
        let general = if self.party.accessible { self.of_kind(pieces, SeatKind::General) } else { 0 };
        (general, self.orphans(pieces))
    }

    /// The choices of the first way that seats the party at all.
    fn choices(&self) -> Vec<Pieces> {
        let in_one_row = self.in_one_row();
        let side_by_side: Vec<Pieces> =
            in_one_row.iter().filter(|pieces| self.side_by_side(&pieces[0])).cloned().collect();
        let mut ways = vec![side_by_side, in_one_row];
        if !self.party.accessible {
            for one_category in [true, false] {
                ways.extend((2..=self.party.quantity).map(|rows| self.in_rows(rows, one_category)));
            }
        }
        ways.into_iter().find(|choices| !choices.is_empty()).unwrap_or_default()
    }
}

/// Seats in plan order as ranges of their rows.
fn pieces(snapshot: &Snapshot<'_>, seats: &[usize]) -> Pieces {
    let row = |at: usize| snapshot.hall.rows().iter().position(|row| row.seats.contains(&at));
    let runs = seats.chunk_by(|a, b| a + 1 == *b && row(*a) == row(*b));
    runs.map(|run| run[0]..run[run.len() - 1] + 1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn a_choice_is_one_of_the_best_there_are(rows in halls(), party in parties()) {
        let drawing = Drawing::new(&rows.iter().map(String::as_str).collect::<Vec<_>>());
        let oracle = Oracle { snapshot: drawing.snapshot(), party };

        let chosen = choose(&drawing.snapshot(), &party);

        let choices = oracle.choices();
        prop_assert_eq!(chosen.is_some(), !choices.is_empty());
        prop_assert_eq!(&chosen, &choose(&drawing.snapshot(), &party), "the same hall gives the same seats");
        if let Some(chosen) = chosen {
            let chosen = pieces(&drawing.snapshot(), &chosen);
            prop_assert!(choices.contains(&chosen), "{:?} is none of {:?}", chosen, choices);
            // Over three rows and more whole runs are filled, not every choice is weighed.
            if chosen.len() <= 2 {
                let best = choices.iter().map(|choice| oracle.cost(choice)).min().unwrap();
                prop_assert_eq!(oracle.cost(&chosen), best, "{:?}", chosen);
            }
        }
    }
}
