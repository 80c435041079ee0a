//! How a zone is drawn: which way its rows run, where its middle is, how far its seats stand apart.

use super::{Row, Spot};

/// The measures of one zone.
pub(super) struct Frame {
    /// The way of its longest row, of length one.
    along: (f32, f32),
    /// Its middle on that way, plan units.
    middle: f32,
    /// The usual gap between neighbours, plan units; 0 when the plan has no positions.
    gap: f32,
}

impl Frame {
    /// Measures a zone, which has at least one row.
    pub(super) fn of(rows: &[Row], spots: &[Spot]) -> Self {
        let gaps = rows.iter().flat_map(|row| row.seats.clone().skip(1)).map(|at| gap(spots, at));
        let along = rows.iter().max_by_key(|row| row.seats.len()).map_or((1.0, 0.0), |row| way(row, spots));
        let (mut left, mut right) = (f32::INFINITY, f32::NEG_INFINITY);
        for spot in rows.iter().flat_map(|row| &spots[row.seats.clone()]) {
            let way = spot.x * along.0 + spot.y * along.1;
            (left, right) = (left.min(way), right.max(way));
        }
        Self { along, middle: left.midpoint(right), gap: median(gaps.collect()) }
    }

    /// Seats to the right of the zone's middle. Without positions every row is centred.
    pub(super) fn column(&self, row: &Row, spots: &[Spot], at: usize) -> f32 {
        if self.gap > 0.0 {
            return (spots[at].x * self.along.0 + spots[at].y * self.along.1 - self.middle) / self.gap;
        }
        (at - row.seats.start) as f32 - (row.seats.len() - 1) as f32 / 2.0
    }

    /// The usual gap of a row, whose seats may be wider than those of its zone.
    pub(super) fn usual_gap(&self, row: &Row, spots: &[Spot]) -> f32 {
        median(row.seats.clone().skip(1).map(|at| gap(spots, at)).collect()).max(self.gap)
    }
}

/// How far a seat stands from the one before.
pub(super) fn gap(spots: &[Spot], at: usize) -> f32 {
    (spots[at].x - spots[at - 1].x).hypot(spots[at].y - spots[at - 1].y)
}

/// The way from a row's first seat to its last.
fn way(row: &Row, spots: &[Spot]) -> (f32, f32) {
    let (first, last) = (&spots[row.seats.start], &spots[row.seats.end - 1]);
    let (x, y) = (last.x - first.x, last.y - first.y);
    let length = x.hypot(y);
    if length > 0.0 { (x / length, y / length) } else { (1.0, 0.0) }
}

/// The lower median; 0 of nothing.
fn median(mut gaps: Vec<f32>) -> f32 {
    if gaps.is_empty() {
        return 0.0;
    }
    let middle = (gaps.len() - 1) / 2;
    *gaps.select_nth_unstable_by(middle, f32::total_cmp).1
}
