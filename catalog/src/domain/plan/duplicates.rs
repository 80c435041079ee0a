//! Seats that share a `seat_guid`: the schema cannot see them, and a plan that has any is refused as a whole.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::super::fault::{Fault, quote};
use super::super::plan_file::PlanFile;
use super::zone_name;

/// Most guids named in one message.
const GUIDS_NAMED_MAX: usize = 40;
/// Most rows named in one message.
const ROWS_NAMED_MAX: usize = 5;

/// A row by its position: of the zone, and of the row within it.
type RowAt = (usize, usize);

/// Seats of one row whose guids were seen before.
struct Repeats<'a> {
    /// Where the first of them was seen before.
    first_seen: RowAt,
    guids: Vec<&'a str>,
}

/// Refuses a file in which two seats share a guid, naming rows, counts and guids.
pub fn refuse(file: &PlanFile) -> Result<(), Fault> {
    let repeats = find(file);
    if repeats.is_empty() {
        return Ok(());
    }
    let mut message = String::new();
    let mut left = GUIDS_NAMED_MAX;
    for (at, row) in repeats.iter().take(ROWS_NAMED_MAX) {
        let separator = if message.is_empty() { "" } else { "; " };
        let named: Vec<&str> = row.guids.iter().take(left).copied().collect();
        left -= named.len();
        let more = if named.len() < row.guids.len() { ", …" } else { "" };
        let (here, before) = (name(file, *at), name(file, row.first_seen));
        let count = row.guids.len();
        // Writing to a string cannot fail.
        let _ = write!(
            message,
            "{separator}{here}: {count} seats share their seat_guid with seats of {before}: {}{more}",
            named.join(", ")
        );
    }
    if repeats.len() > ROWS_NAMED_MAX {
        let _ = write!(message, "; and {} more rows", repeats.len() - ROWS_NAMED_MAX);
    }
    Err(Fault::new("plan", message))
}

fn find(file: &PlanFile) -> BTreeMap<RowAt, Repeats<'_>> {
    let mut seen: HashMap<&str, RowAt> = HashMap::new();
    let mut repeats: BTreeMap<RowAt, Repeats<'_>> = BTreeMap::new();
    for (z, zone) in file.zones.iter().enumerate() {
        for (r, row) in zone.rows.iter().enumerate() {
            for seat in &row.seats {
                match seen.get(seat.seat_guid.as_str()) {
                    None => {
                        seen.insert(&seat.seat_guid, (z, r));
                    }
                    Some(first_seen) => repeats
                        .entry((z, r))
                        .or_insert_with(|| Repeats { first_seen: *first_seen, guids: Vec::new() })
                        .guids
                        .push(&seat.seat_guid),
                }
            }
        }
    }
    repeats
}

fn name(file: &PlanFile, (z, r): RowAt) -> String {
    let zone = &file.zones[z];
    let (zone_name, row_name) = (quote(&zone_name(z, zone)), quote(&zone.rows[r].row_number));
    format!("zone {zone_name}, row {row_name} (the zone's {}.)", r + 1)
}
