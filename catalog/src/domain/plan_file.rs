//! The open seating-plan JSON, as strict as its public schema. Only shape lives here; meaning is checked in [`super::plan`].
//! Drawings are checked and otherwise left alone: the file itself is kept, so that an export gives back what came in.

use serde::Deserialize;

use super::fault::Fault;

/// Largest file, bytes.
pub const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// Name of the plan.
    pub name: String,
    /// Groups of rows; names may repeat.
    pub zones: Vec<Zone>,
    /// What seats may refer to.
    pub categories: Vec<Category>,
    #[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
    size: Size,
}

/// A group of rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zone {
    /// For people.
    pub name: Option<String>,
    /// Stands in for a missing name.
    pub zone_id: Option<String>,
    #[expect(dead_code, reason = "kept in the file")]
    uuid: Option<String>,
    /// Where the zone stands in the plan.
    pub position: Position,
    /// Its rows.
    pub rows: Vec<Row>,
    #[serde(default)]
    #[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
    areas: Vec<Drawing>,
}

/// A row of seats.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// A name such as `00` or `-2`, despite the word.
    pub row_number: String,
    /// For people.
    pub row_label: Option<String>,
    /// For people; `%s` stands for the seat's number.
    pub seat_label: Option<String>,
    #[expect(dead_code, reason = "kept in the file")]
    uuid: Option<String>,
    /// Its seats.
    pub seats: Vec<Seat>,
    #[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
    row_number_position: Option<RowNumberPosition>,
    /// Where the row stands in its zone.
    pub position: Option<Position>,
}

/// A seat.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Unique within the file, and never used beyond it.
    pub seat_guid: String,
    /// A name, despite the word.
    pub seat_number: String,
    #[expect(dead_code, reason = "kept in the file")]
    uuid: Option<String>,
    #[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
    start_direction: Option<String>,
    #[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
    radius: Option<f64>,
    /// Where the seat stands in its row.
    pub position: Position,
    /// Name of a declared category.
    pub category: String,
}

/// A category that seats may refer to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Unique name.
    pub name: String,
    #[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
    color: Option<String>,
}

/// A place, in plan units to the right and down.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RowNumberPosition {
    Start,
    End,
    Both,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Size {
    width: i64,
    height: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Drawing {
    color: Option<String>,
    border_color: Option<String>,
    rotation: Option<f64>,
    position: Option<Position>,
    uuid: Option<String>,
    shape: Option<Shape>,
    polygon: Option<Polygon>,
    rectangle: Option<Rectangle>,
    ellipse: Option<Ellipse>,
    circle: Option<Circle>,
    text: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Polygon,
    Rectangle,
    Ellipse,
    Circle,
    Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Polygon {
    points: Vec<Position>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Rectangle {
    width: f64,
    height: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Ellipse {
    radius: Position,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Circle {
    radius: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is checked; the drawing stays in the file")]
struct Text {
    text: String,
    color: Option<String>,
    size: Option<f64>,
    position: Position,
}

/// Reads a file.
///
/// # Errors
/// Says where the file leaves the format, for instance `zones[3].rows[0].seats[12].category`, counted from 0.
pub fn read(bytes: &[u8]) -> Result<PlanFile, Fault> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Fault::new("plan", format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let file = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| Fault::new("plan", format!("is not a seating plan: at {}: {}", e.path(), e.inner())))?;
    json.end().map_err(|e| Fault::new("plan", format!("is not a seating plan: {e}")))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(plan: &serde_json::Value) -> String {
        read(plan.to_string().as_bytes()).unwrap_err().message
    }

    #[test]
    fn everything_the_schema_knows_is_read() {
        let plan = json!({
            "name": "Club", "size": {"width": 10, "height": 10}, "categories": [{"name": "A", "color": "#fff"}],
            "zones": [{"zone_id": "z", "uuid": "u", "position": {"x": 1, "y": 2.5}, "rows": [{
                "row_number": "-2", "row_label": null, "seat_label": null, "uuid": "u", "row_number_position": null,
                "seats": [{"seat_guid": "g", "seat_number": "1", "uuid": "u", "start_direction": "<>", "radius": 8,
                           "position": {"x": 0, "y": 0}, "category": "A"}],
            }], "areas": [
                {"shape": "polygon", "polygon": {"points": [{"x": 0, "y": 0}]}, "color": "red", "border_color": "red", "rotation": 45},
                {"shape": "rectangle", "rectangle": {"width": 1, "height": 1}, "position": {"x": 0, "y": 0}},
                {"shape": "ellipse", "ellipse": {"radius": {"x": 1, "y": 2}}},
                {"shape": "circle", "circle": {"radius": 3}},
                {"shape": "text", "text": {"text": "Stage", "color": "#000", "size": 20, "position": {"x": 0, "y": 0}}},
            ]}],
        });

        let file = read(plan.to_string().as_bytes()).unwrap();

        assert_eq!(file.zones[0].rows[0].row_number, "-2");
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        let mut plan = json!({
            "name": "Club", "size": {"width": 10, "height": 10}, "categories": [],
            "zones": [{"position": {"x": 0, "y": 0}, "rows": [{"row_number": "1", "seats": [
                {"seat_guid": "g", "seat_number": "1", "position": {"x": 0, "y": 0}}
            ]}]}],
        });
        let missing = refusal(&plan);
        assert!(missing.contains("zones[0].rows[0].seats[0]: missing field `category`"), "{missing}");

        plan["zones"][0]["rows"][0]["seats"][0]["price"] = json!(5);
        let unknown = refusal(&plan);
        assert!(unknown.contains("zones[0].rows[0].seats[0].price: unknown field `price`"), "{unknown}");
    }

    #[test]
    fn what_is_no_plan_at_all_is_refused() {
        for bytes in [&b""[..], b"[]", b"{", b"\xff", b"{} {}", b"null"] {
            assert_eq!(read(bytes).unwrap_err().field, "plan");
        }
    }
}
