//! The orphan rule for seats picked by hand: a pick must not leave a single seat alone when as many seats of the same block,
//! side by side, could be had without leaving one.

use super::hall::Snapshot;

/// The seats a pick would leave alone though it need not, in plan order; the picked ones are free. `picked` is sorted.
///
/// A seat is left alone when it is free for everybody and, in its block, each neighbour is taken, not for everybody, or
/// missing, while one was not so before. Blocks are judged one by one.
pub fn avoidable(snapshot: &Snapshot<'_>, picked: &[usize]) -> Vec<usize> {
    let mut orphans = Vec::new();
    for picked in picked.chunk_by(|a, b| snapshot.hall.block(*a).contains(b)) {
        let block = snapshot.hall.block(picked[0]);
        let left_alone = |at: &usize| snapshot.is_alone_without(*at, picked) && !snapshot.is_alone_without(*at, &[]);
        let alone: Vec<usize> = block.clone().filter(left_alone).collect();
        let party = picked.iter().filter(|at| snapshot.is_free_for_all(**at)).count();
        if !alone.is_empty() && could_leave_none(snapshot, block, party) {
            orphans.extend(alone);
        }
    }
    orphans
}

/// Whether a party could sit side by side in a block and leave no seat alone.
fn could_leave_none(snapshot: &Snapshot<'_>, block: std::ops::Range<usize>, party: usize) -> bool {
    let mut side_by_side = 0;
    for at in block {
        side_by_side = if snapshot.is_free_for_all(at) { side_by_side + 1 } else { 0 };
        if side_by_side >= party && snapshot.orphans(&(at + 1 - party..at + 1)) == 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::hall::drawing::Drawing;

    /// A row: `.` free, `x` taken, `P` picked, `a` accessible, `|` an aisle; and the seats that must not be left alone.
    fn judged(row: &str) -> String {
        let drawing = Drawing::new(&[&row.replace('P', ".")]);
        let seats: Vec<char> = row.chars().filter(|c| *c != '|').collect();
        let picked: Vec<usize> = (0..seats.len()).filter(|at| seats[*at] == 'P').collect();
        let orphans = avoidable(&drawing.snapshot(), &picked);
        (0..seats.len()).map(|at| if orphans.contains(&at) { '!' } else { '-' }).collect()
    }

    #[test]
    fn a_pick_must_not_leave_a_seat_alone_that_need_not_be() {
        for (row, verdict) in [
            // Beside the end of the row, a taken seat, an aisle.
            (".PP...", "!-----"),
            ("...PP.", "-----!"),
            ("x.PP..", "-!----"),
            ("...|.PP..", "---!----"),
            // Two at once.
            (".PP.", "!--!"),
            (".PP.....", "!-------"),
            (".PP.x...", "!--!----"),
            // In the middle of one's own pick.
            ("P.P...", "-!----"),
            ("P.P", "---"),
            // Nothing is left alone.
            ("PP....", "------"),
            ("..PP..", "------"),
            ("PPPPPP", "------"),
            // Alone already.
            (".xPP", "----"),
            (".xPP..", "------"),
        ] {
            assert_eq!(judged(row), verdict, "{row}");
        }
    }

    #[test]
    fn what_cannot_be_avoided_in_its_block_is_allowed() {
        for (row, verdict) in [
            ("PP.", "---"),
            ("P.", "--"),
            // A better place elsewhere in the block makes it avoidable, one behind an aisle does not.
            ("P.x...", "-!----"),
            ("P.|...", "-----"),
            ("PP.x..", "--!---"),
            // Four do not fit side by side at all.
            ("PP.xPP.", "-------"),
        ] {
            assert_eq!(judged(row), verdict, "{row}");
        }
    }

    #[test]
    fn seats_for_wheelchair_users_are_never_orphans_and_keep_nobody_company() {
        for (row, verdict) in [("aPP..", "-----"), ("a.PP...", "-!-----"), (".aP...", "------")] {
            assert_eq!(judged(row), verdict, "{row}");
        }
    }
}
