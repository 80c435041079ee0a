//! Draws a plan in the open seating-plan JSON: curved rows, one zone after the other.

use serde_json::{Value, json};

/// Plan units between neighbours in a row.
const SEAT_PITCH: f64 = 22.0;
/// Plan units from row to row.
const ROW_PITCH: f64 = 28.0;
/// Plan units that the outermost seat of a row lies nearer to the stage.
const CURVE: f64 = 40.0;

/// A plan in the making.
pub(super) struct Hall {
    name: &'static str,
    width: f64,
    /// Where the next zone begins.
    y: f64,
    categories: Vec<Value>,
    zones: Vec<Value>,
}

/// A block of rows.
pub(super) struct Block {
    /// Name and price category.
    pub(super) name: &'static str,
    /// Short name within guids.
    pub(super) key: &'static str,
    /// Colour of the category on a map.
    pub(super) color: &'static str,
    /// Name and number of seats of each row, nearest to the stage first.
    pub(super) rows: Vec<(String, u32)>,
}

/// Rows named by letters, the first with `seats` seats, each next one with `more` more.
pub(super) fn lettered(rows: u8, seats: u32, more: u32) -> Vec<(String, u32)> {
    (0..rows).map(|n| (char::from(b'A' + n).to_string(), seats + more * u32::from(n))).collect()
}

impl Hall {
    /// An empty hall.
    pub(super) fn new(name: &'static str, width: f64) -> Self {
        Self { name, width, y: 120.0, categories: Vec::new(), zones: Vec::new() }
    }

    /// Adds a block behind those before it.
    #[must_use]
    pub(super) fn block(mut self, block: &Block) -> Self {
        let rows: Vec<Value> =
            block.rows.iter().enumerate().map(|(n, (name, seats))| self.row(block, name, *seats, n)).collect();
        self.categories.push(json!({"name": block.name, "color": block.color}));
        self.zones.push(json!({
            "name": block.name, "zone_id": block.key, "position": {"x": 0, "y": self.y}, "rows": rows, "areas": []
        }));
        self.y += ROW_PITCH * (block.rows.len() as f64 + 2.0);
        self
    }

    fn row(&self, block: &Block, name: &str, seats: u32, number: usize) -> Value {
        let half = f64::from(seats - 1) / 2.0;
        let seat = |n: u32| {
            let aside = f64::from(n) - half;
            let x = self.width / 2.0 + aside * SEAT_PITCH;
            let y = -CURVE * (aside * SEAT_PITCH / (self.width / 2.0)).powi(2);
            json!({
                "seat_guid": format!("{}-{name}-{}", block.key, n + 1),
                "seat_number": (n + 1).to_string(),
                "position": {"x": x.round(), "y": y.round()},
                "category": block.name,
            })
        };
        json!({
            "row_number": name, "row_label": format!("Row {name}"), "seat_label": "Seat %s",
            "row_number_position": "both", "position": {"x": 0, "y": ROW_PITCH * number as f64},
            "seats": (0..seats).map(seat).collect::<Vec<_>>(),
        })
    }

    /// The whole plan.
    pub(super) fn into_json(self) -> Value {
        json!({
            "name": self.name, "categories": self.categories, "zones": self.zones,
            "size": {"width": self.width.round() as i64, "height": self.y.round() as i64},
        })
    }
}
