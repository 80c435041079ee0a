//! Choices in halls drawn in text.

use super::{Party, choose};
use crate::domain::hall::drawing::Drawing;

fn party(quantity: usize) -> Party {
    Party { quantity, category: None, accessible: false }
}

/// The hall with the chosen seats as `#`; the rows of a hall that cannot seat the party stay as they are.
fn seated(rows: &[&str], party: &Party) -> Vec<String> {
    let drawing = Drawing::new(rows);
    let chosen = choose(&drawing.snapshot(), party).unwrap_or_default();
    let mut at = 0;
    let mut sign = |sign: char| {
        if matches!(sign, '|' | ' ') {
            return sign;
        }
        at += 1;
        if chosen.contains(&(at - 1)) { '#' } else { sign }
    };
    rows.iter().map(|row| row.chars().map(&mut sign).collect()).collect()
}

#[test]
fn a_party_sits_in_the_middle_of_the_front_row() {
    assert_eq!(seated(&[".......", "......."], &party(3)), ["..###..", "......."]);
    assert_eq!(seated(&["xx...xx", "......."], &party(4)), ["xx...xx", "####..."]);
}

#[test]
fn no_seat_is_left_alone_while_another_choice_seats_the_party() {
    // The middle would leave one at each end.
    assert_eq!(seated(&["......"], &party(4)), ["####.."]);
    assert_eq!(seated(&["...", "....."], &party(2)), ["...", "##..."]);
    assert_eq!(seated(&["..."], &party(2)), ["##."]);
    // A closed seat and an aisle are walls.
    assert_eq!(seated(&["-...|.....", "xxx|xxxxx"], &party(2)), ["-...|##...", "xxx|xxxxx"]);
}

#[test]
fn an_aisle_is_crossed_only_if_nothing_else_keeps_the_party_in_one_row() {
    assert_eq!(seated(&["..|..", "....."], &party(3)), ["..|..", "..###"]);
    assert_eq!(seated(&["..|..", "xx.xx"], &party(3)), ["##|#.", "xx.xx"]);
}

#[test]
fn a_party_too_large_for_a_row_sits_in_neighbouring_rows_behind_each_other() {
    assert_eq!(seated(&["..xxx..", "xxxxx..", "..xxxxx"], &party(4)), ["..xxx##", "xxxxx##", "..xxxxx"]);
    // Nobody is sent to a row alone without need; but rather that than a seat left alone.
    assert_eq!(seated(&["..x", "..."], &party(4)), ["##x", "##."]);
    assert_eq!(seated(&["...", "..."], &party(4)), ["###", "#.."]);
    // Rows of different zones are no neighbours, nor are seats at either end.
    assert_eq!(seated(&["..", "", ".."], &party(3)), ["..", "", ".."]);
    assert_eq!(seated(&["..xxx", "xxx.."], &party(3)), ["..xxx", "xxx.."]);
    // As many rows as it takes.
    assert_eq!(seated(&["..", "..", "..", ".."], &party(6)), ["##", "##", "##", ".."]);
}

#[test]
fn nobody_sits_behind_a_gap() {
    // No seat of the last row stands behind the one seat that is free before it, although it stands between them.
    let rows = ["..x", "x.", "x.", ".|.,|."];
    assert_eq!(seated(&rows, &party(5)), rows);
}

#[test]
fn a_row_that_is_taken_parts_its_neighbours() {
    assert_eq!(seated(&["..", "xx", ".."], &party(4)), ["..", "xx", ".."]);
}

#[test]
fn one_category_goes_before_several_and_the_plans_first_before_others() {
    assert_eq!(seated(&["..,,", ",,,,"], &party(2)), ["##,,", ",,,,"]);
    assert_eq!(seated(&[".x,,", ",,,,"], &party(2)), [".x##", ",,,,"]);
    assert_eq!(seated(&["x..,,x", "xxxxxx"], &party(4)), ["x####x", "xxxxxx"]);
    let second = Party { category: Some(1), ..party(2) };
    assert_eq!(seated(&["....", ".,,."], &second), ["....", ".##."]);
    assert_eq!(seated(&["....", ".,.,"], &second), ["....", ".,.,"]);
}

#[test]
fn a_general_party_never_gets_a_seat_for_wheelchair_users_or_companions() {
    assert_eq!(seated(&["..ac.."], &party(2)), ["##ac.."]);
    assert_eq!(seated(&["aacc"], &party(1)), ["aacc"]);
    assert_eq!(seated(&[".a."], &party(2)), [".a."]);
}

#[test]
fn an_accessible_party_gets_a_wheelchair_seat_with_companions_beside_it() {
    let accessible = |quantity| Party { accessible: true, ..party(quantity) };
    assert_eq!(seated(&["......", "..ac.."], &accessible(1)), ["......", "..#c.."]);
    assert_eq!(seated(&["aa..ac"], &accessible(2)), ["aa..##"]);
    // Further wheelchair seats where the plan has no companions, then general seats.
    assert_eq!(seated(&["aaaa", "...."], &accessible(2)), ["a##a", "...."]);
    assert_eq!(seated(&["..ac.."], &accessible(3)), [".###.."]);
    assert_eq!(seated(&["..cc..", "......"], &accessible(2)), ["..cc..", "......"]);
    assert_eq!(seated(&["ac", ".."], &accessible(3)), ["ac", ".."]);
}

#[test]
fn an_empty_hall_seats_nobody() {
    assert_eq!(choose(&Drawing::new(&[]).snapshot(), &party(1)), None);
    assert_eq!(choose(&Drawing::new(&["xx-"]).snapshot(), &party(1)), None);
}
