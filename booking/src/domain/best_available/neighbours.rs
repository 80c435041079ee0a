//! A party split over neighbouring rows of one zone: a run of seats in each, one behind the other, in as few rows as possible;
//! of one category if that can be.

use std::ops::Range;

use super::{Rating, Search, Within};
use crate::domain::hall::Hall;

/// Most rows a party is split over.
const ROWS_MAX: usize = 8;
/// Largest party for which every split over two rows is looked at. A larger one, or one that needs more rows, fills whole runs
/// from front to back, and takes in the last row what is left.
const PAIRS_QUANTITY_MAX: usize = 20;
/// Seats less than this many columns apart stand behind each other.
const BEHIND: f32 = 0.75;

/// Seats side by side that the party may have, and the columns they span.
struct Run {
    seats: Range<usize>,
    left: f32,
    right: f32,
    /// Runs of the next row whose span of columns meets this one's; which of them stand behind it, the seats decide.
    behind: Range<usize>,
}

/// How many seats a run has with those in the rows behind it, and where that goes on.
#[derive(Clone, Copy)]
struct Reach {
    seats: usize,
    next: usize,
}

/// The best split so far.
type Best = Option<(Rating, Vec<Range<usize>>)>;

impl Search<'_> {
    /// The best seats in neighbouring rows.
    pub(super) fn in_neighbouring_rows(&self) -> Option<Vec<usize>> {
        let pieces = self.split(Within::Category).or_else(|| self.split(Within::Block))?;
        Some(pieces.into_iter().flatten().collect())
    }

    fn split(&self, within: Within) -> Option<Vec<Range<usize>>> {
        let runs = self.runs(within);
        let alone = |run: &Run| Reach { seats: run.seats.len(), next: usize::MAX };
        let mut reaches = vec![runs.iter().map(alone).collect::<Vec<_>>()];
        for rows in 2..=ROWS_MAX {
            let reach = self.with_one_more_row(&runs, &reaches[rows - 2], within);
            let enough = reach.iter().any(|reach| reach.seats >= self.party.quantity);
            reaches.push(reach);
            if enough {
                return self.best_split(&runs, &reaches, within);
            }
        }
        None
    }

    /// The runs of all rows, each row's from left to right.
    fn runs(&self, within: Within) -> Vec<Run> {
        let hall = self.snapshot.hall;
        let mut runs: Vec<Run> = Vec::new();
        let (mut zone, mut before) = (None, 0..0);
        for row in hall.rows() {
            let start = runs.len();
            self.each_run(row, within, |seats| runs.push(Run::new(hall, seats)));
            runs[start..].sort_by(|a, b| a.left.total_cmp(&b.left));
            if zone == Some(row.zone) {
                let (front, back) = runs.split_at_mut(start);
                for run in &mut front[before] {
                    let first = back.partition_point(|other| other.right <= run.left - BEHIND);
                    let end = back.partition_point(|other| other.left < run.right + BEHIND);
                    run.behind = start + first..start + end.max(first);
                }
            }
            (zone, before) = (Some(row.zone), start..runs.len());
        }
        runs
    }

    /// What each run reaches with one row more behind it than `reach` tells; nothing where there is none.
    fn with_one_more_row(&self, runs: &[Run], reach: &[Reach], within: Within) -> Vec<Reach> {
        let extend = |run: &Run| {
            let next = self.behind(runs, run, within).max_by_key(|next| (reach[*next].seats, usize::MAX - next));
            let next = next.filter(|next| reach[*next].seats > 0);
            next.map_or(Reach { seats: 0, next: usize::MAX }, |next| Reach {
                seats: run.seats.len() + reach[next].seats,
                next,
            })
        };
        runs.iter().map(extend).collect()
    }

    fn behind<'r>(&self, runs: &'r [Run], run: &'r Run, within: Within) -> impl Iterator<Item = usize> + use<'_, 'r> {
        let hall = self.snapshot.hall;
        let category = hall.category(run.seats.start);
        run.behind
            .clone()
            .filter(move |next| within != Within::Category || hall.category(runs[*next].seats.start) == category)
            .filter(move |next| stand_behind(hall, &run.seats, &runs[*next].seats))
    }

    /// The best of all splits over the fewest rows; `reaches` has an entry per number of rows.
    fn best_split(&self, runs: &[Run], reaches: &[Vec<Reach>], within: Within) -> Option<Vec<Range<usize>>> {
        let mut best = None;
        let last = &reaches[reaches.len() - 1];
        for at in (0..runs.len()).filter(|at| last[*at].seats >= self.party.quantity) {
            if reaches.len() == 2 && self.party.quantity <= PAIRS_QUANTITY_MAX {
                for next in self.behind(runs, &runs[at], within) {
                    self.try_pair(&runs[at].seats, &runs[next].seats, &mut best);
                }
            } else {
                self.try_whole_runs(runs, reaches, at, &mut best);
            }
        }
        best.map(|(_, pieces)| pieces)
    }

    /// Every way to seat the party on two runs.
    fn try_pair(&self, front: &Range<usize>, back: &Range<usize>, best: &mut Best) {
        let quantity = self.party.quantity;
        for in_front in quantity.saturating_sub(back.len()).max(1)..=front.len().min(quantity - 1) {
            for piece in windows(front, in_front) {
                for other in windows(back, quantity - in_front) {
                    self.try_pieces(vec![piece.clone(), other], best);
                }
            }
        }
    }

    /// Whole runs from `at` on back, and in the last row what the party still needs.
    fn try_whole_runs(&self, runs: &[Run], reaches: &[Vec<Reach>], mut at: usize, best: &mut Best) {
        let mut pieces = Vec::with_capacity(reaches.len());
        let mut needed = self.party.quantity;
        for reach in reaches[1..].iter().rev() {
            pieces.push(runs[at].seats.clone());
            needed -= runs[at].seats.len();
            at = reach[at].next;
        }
        for last in windows(&runs[at].seats, needed) {
            let mut pieces = pieces.clone();
            pieces.push(last);
            self.try_pieces(pieces, best);
        }
    }

    fn try_pieces(&self, pieces: Vec<Range<usize>>, best: &mut Best) {
        let hall = self.snapshot.hall;
        if !pieces.windows(2).all(|pair| stand_behind(hall, &pair[0], &pair[1])) {
            return;
        }
        let rating = self.rate(&pieces);
        if best.as_ref().is_none_or(|(other, _)| rating < *other) {
            *best = Some((rating, pieces));
        }
    }
}

impl Run {
    fn new(hall: &Hall, seats: Range<usize>) -> Self {
        let (left, right) = hall.columns(&seats);
        Self { seats, left, right, behind: 0..0 }
    }
}

/// Whether some of these seats stand behind each other. Of every run that does, so does a part of any length: that is why
/// what a party still needs is always found in its last row.
pub(super) fn stand_behind(hall: &Hall, front: &Range<usize>, back: &Range<usize>) -> bool {
    let ((left, right), (left_behind, right_behind)) = (hall.columns(front), hall.columns(back));
    let behind = |seat, other| (hall.column(seat) - hall.column(other)).abs() < BEHIND;
    right_behind > left - BEHIND
        && left_behind < right + BEHIND
        && front.clone().any(|seat| back.clone().any(|other| behind(seat, other)))
}

/// All ranges of `length` within a run.
fn windows(run: &Range<usize>, length: usize) -> impl Iterator<Item = Range<usize>> {
    (run.start..(run.end + 1).saturating_sub(length)).map(move |start| start..start + length)
}
