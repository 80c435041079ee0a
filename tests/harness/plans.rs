//! The stadium that Eventix is measured with: the real plan where it lies beside the project, else one of its shape.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Seats of the whole stadium.
pub const STADIUM_SEATS: u64 = 23_802;
/// Where the damaged plan has a row twice, with 35 seats, and the first guid that is there twice.
pub const DUPLICATED_ZONE: &str = "Tribune West, sector 2";
pub const DUPLICATED_ROW: &str = "35";
pub const DUPLICATED_GUID: &str = "west-2-35-1";

const TRIBUNES: [(&str, &str, usize); 4] =
    [("west", "West", 13), ("south", "South", 12), ("east", "East", 12), ("north", "North", 12)];
const ROWS: usize = 12;
const SEATS: usize = 40;

/// A valid plan of 23,802 seats.
pub fn stadium(folder: &Path) -> PathBuf {
    real("metalist-stadium.json").unwrap_or_else(|| write(folder, "stadium.json", &made(false)))
}

/// The same with one row name twice in a zone, so that 35 guids stand there twice.
pub fn duplicated_row(folder: &Path) -> PathBuf {
    real("metalist-stadium-duplicate-row.json").unwrap_or_else(|| write(folder, "duplicated.json", &made(true)))
}

fn real(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/seating").join(name);
    path.is_file().then_some(path)
}

fn write(folder: &Path, name: &str, plan: &Value) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, plan.to_string()).unwrap();
    path
}

fn made(row_twice: bool) -> Value {
    let mut zones = Vec::new();
    for (key, name, sectors) in TRIBUNES {
        for sector in 1..=sectors {
            let id = format!("{key}-{sector}");
            let mut rows: Vec<Value> = (0..ROWS).map(|n| row(&id, &format!("{n:02}"), SEATS, name, n)).collect();
            if id == "west-2" {
                rows.push(row(&id, DUPLICATED_ROW, 35, name, ROWS));
                rows.push(row(&id, "-2", 247, name, ROWS + 1));
                if row_twice {
                    rows.push(row(&id, DUPLICATED_ROW, 39, name, ROWS + 2));
                }
            }
            zones.push(json!({
                "name": format!("Tribune {name}, sector {sector}"), "zone_id": id,
                "position": {"x": 1000 * sector, "y": 60}, "rows": rows, "areas": [],
            }));
        }
    }
    let categories: Vec<Value> =
        TRIBUNES.iter().map(|(_, name, _)| json!({"name": format!("Tribune {name}"), "color": "#3a6ea5"})).collect();
    json!({"name": "City Stadium", "categories": categories, "zones": zones, "size": {"width": 12000, "height": 10500}})
}

fn row(zone: &str, name: &str, seats: usize, tribune: &str, number: usize) -> Value {
    let seat = |n: usize| {
        json!({
            "seat_guid": format!("{zone}-{name}-{n}"), "seat_number": n.to_string(),
            "position": {"x": 22 * (n - 1), "y": 0}, "category": format!("Tribune {tribune}"),
        })
    };
    json!({
        "row_number": name, "row_label": format!("Row {name}"), "seat_label": "Seat %s",
        "row_number_position": "both", "position": {"x": 0, "y": 26 * number},
        "seats": (1..=seats).map(seat).collect::<Vec<_>>(),
    })
}
