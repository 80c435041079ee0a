//! Halls drawn in text, for tests of the rules.

use super::{Hall, RowShape, SeatKind, Snapshot, Spot};

/// Width of an aisle, in seats.
const AISLE: f32 = 1.5;

/// A hall and what is taken of it. `.` a free seat of the first category, `,` one of the second, `x` a taken seat, `-` a closed
/// one, `a` a free accessible and `c` a free companion seat, `|` an aisle, a blank an empty place. An empty line ends a zone.
pub(crate) struct Drawing {
    pub(crate) hall: Hall,
    pub(crate) taken: Vec<bool>,
}

impl Drawing {
    pub(crate) fn new(rows: &[&str]) -> Self {
        let (mut shapes, mut spots, mut taken, mut zone) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (y, row) in rows.iter().enumerate() {
            zone += u32::from(row.is_empty());
            let before = spots.len();
            let mut x = 0.0;
            for sign in row.chars() {
                if let Some(spot) = spot(sign, x, y as f32) {
                    spots.push(spot);
                    taken.push(sign == 'x');
                }
                x += if sign == '|' { AISLE } else { 1.0 };
            }
            shapes.push(RowShape { zone, seat_count: u32::try_from(spots.len() - before).expect("a short row") });
        }
        Self { hall: Hall::new(&shapes, &spots).expect("rows add up"), taken }
    }

    pub(crate) fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { hall: &self.hall, taken: &self.taken }
    }
}

fn spot(sign: char, x: f32, y: f32) -> Option<Spot> {
    let (category, kind) = match sign {
        '.' | 'x' | '-' => (0, SeatKind::General),
        ',' => (1, SeatKind::General),
        'a' => (0, SeatKind::Accessible),
        'c' => (0, SeatKind::Companion),
        _ => return None,
    };
    Some(Spot { x, y, category, kind, closed: sign == '-' })
}
