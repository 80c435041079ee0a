//! What an audit found: text for people, the same as JSON for machines.

use std::fmt;

use serde::Serialize;

use super::check::Offender;

/// Most rows shown to people under one invariant; machines get all of them.
const ROWS_SHOWN: usize = 20;

/// The verdict on every invariant.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether all of them hold.
    pub ok: bool,
    /// Whether the provider's ledger was there to be compared.
    pub provider: bool,
    /// In order, `I1` first.
    pub invariants: Vec<Finding>,
}

/// The verdict on one invariant.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// `I1` to `I10`.
    pub id: &'static str,
    /// In one sentence.
    pub meaning: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Rows looked at.
    pub checked: i64,
    /// Rows that break it.
    pub rows: Vec<Offender>,
}

impl Finding {
    /// An invariant that holds, after a look at so many rows.
    pub(super) fn new(id: &'static str, meaning: &'static str, checked: i64) -> Self {
        Self { id, meaning, ok: true, checked, rows: Vec::new() }
    }

    /// Adds rows that break it.
    pub(super) fn add(&mut self, rows: Vec<Offender>) {
        self.rows.extend(rows);
        self.ok = self.rows.is_empty();
    }
}

impl Report {
    /// A report on these findings.
    pub(super) fn new(invariants: Vec<Finding>, provider: bool) -> Self {
        Self { ok: invariants.iter().all(|finding| finding.ok), provider, invariants }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.invariants {
            finding.fmt(f)?;
        }
        if !self.provider {
            writeln!(f, "the provider's ledger is not here: nothing was compared with it")?;
        }
        match self.invariants.iter().filter(|finding| !finding.ok).count() {
            0 => writeln!(f, "audit: all {} invariants hold", self.invariants.len()),
            1 => writeln!(f, "audit: 1 invariant broken"),
            broken => writeln!(f, "audit: {broken} invariants broken"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, meaning, checked, .. } = self;
        if self.ok {
            return writeln!(f, "{id} ok ({checked} rows looked at)");
        }
        let broken = self.rows.len();
        writeln!(f, "{id} BROKEN by {broken} of {checked} rows looked at: {meaning}")?;
        for row in self.rows.iter().take(ROWS_SHOWN) {
            writeln!(f, "  {}.{} {}: {}", row.service.name(), row.table, row.id, row.what)?;
        }
        match broken.saturating_sub(ROWS_SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Service;

    fn broken_by(rows: usize) -> Report {
        let mut finding = Finding::new("I1", "no seat is sold twice", 50);
        let row = |n| Offender::new(Service::Booking, "seat_claims", n, "is wrong");
        finding.add((0..rows).map(row).collect());
        Report::new(vec![finding, Finding::new("I2", "money agrees", 7)], true)
    }

    #[test]
    fn a_clean_audit_says_so_in_its_last_line() {
        let text = broken_by(0).to_string();

        assert_eq!(text, "I1 ok (50 rows looked at)\nI2 ok (7 rows looked at)\naudit: all 2 invariants hold\n");
    }

    #[test]
    fn a_ledger_that_was_not_read_is_said_so() {
        let text = Report::new(vec![Finding::new("I1", "no seat is sold twice", 50)], false).to_string();

        assert!(text.contains("\nthe provider's ledger is not here: nothing was compared with it\naudit: "), "{text}");
    }

    #[test]
    fn people_see_the_first_rows_and_how_many_more_there_are() {
        let text = broken_by(23).to_string();

        assert!(text.starts_with("I1 BROKEN by 23 of 50 rows looked at: no seat is sold twice\n"), "{text}");
        assert!(text.contains("  booking.seat_claims 19: is wrong\n  and 3 more\n"), "{text}");
        assert!(text.ends_with("I2 ok (7 rows looked at)\naudit: 1 invariant broken\n"), "{text}");
    }

    #[test]
    fn machines_get_every_row() {
        let json = serde_json::to_value(broken_by(23)).unwrap();

        assert_eq!(json["ok"], false);
        assert_eq!(json["invariants"][0]["rows"].as_array().unwrap().len(), 23);
        let row = serde_json::json!({"service": "booking", "table": "seat_claims", "id": "0", "what": "is wrong"});
        assert_eq!(json["invariants"][0]["rows"][0], row);
        assert_eq!(json["invariants"][1]["ok"], true);
    }
}
