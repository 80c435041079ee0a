//! What the schema of a seating plan cannot see.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn seat(guid: &str, number: &str, category: &str) -> Value {
    json!({"seat_guid": guid, "seat_number": number, "position": {"x": 3, "y": 0.5}, "category": category})
}

fn file() -> Value {
    json!({
        "name": "Theatre", "size": {"width": 100, "height": 100}, "categories": [{"name": "A"}, {"name": "B"}],
        "zones": [
            {"name": "Stalls", "position": {"x": 100, "y": 10}, "rows": [
                {"row_number": "00", "row_label": "Reihe 00", "seat_label": "Platz %s", "position": {"x": 20, "y": 1},
                 "seats": [seat("g1", "1", "A"), seat("g2", "2", "B")]},
                {"row_number": "-2", "seats": [seat("g3", "1", "A")]},
            ]},
            {"zone_id": "circle", "position": {"x": 0, "y": 0}, "rows": [{"row_number": "1", "seats": [seat("g4", "1", "A")]}]},
            {"position": {"x": 0, "y": 0}, "rows": []},
        ],
    })
}

fn read(file: &Value, additions: Additions) -> Result<Plan, Fault> {
    Plan::read(file.to_string().as_bytes(), additions)
}

fn refusal(file: &Value) -> Fault {
    read(file, Additions::default()).unwrap_err()
}

fn area(name: &str, capacity: u32) -> Area {
    Area { id: AreaId::new(), name: name.into(), capacity }
}

#[test]
fn a_plan_has_labels_places_and_counts() {
    let accessible = Additions { accessible_categories: vec!["B".into()], ..Additions::default() };
    let plan = read(&file(), accessible).unwrap();

    let seats: Vec<_> = plan.rows.iter().flat_map(|row| &row.seats).collect();
    let labels: Vec<_> = seats.iter().map(|seat| seat.label.as_str()).collect();
    assert_eq!(
        labels,
        ["Stalls, Reihe 00, Platz 1", "Stalls, Reihe 00, Platz 2", "Stalls, Row -2, Seat 1", "circle, Row 1, Seat 1"]
    );
    assert_eq!((seats[0].x, seats[0].y), (123.0, 11.5));
    assert_eq!(seats.iter().map(|seat| seat.accessible).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!(plan.categories.iter().map(|c| c.seat_count).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(plan.rows.iter().map(|row| row.zone_index).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!((plan.name.as_str(), plan.seat_count), ("Theatre", 4));
}

#[test]
fn shared_guids_are_refused_with_zone_row_count_and_guids() {
    let mut file = file();
    file["zones"][1]["rows"][0]["seats"] = json!([seat("g1", "1", "A"), seat("g2", "2", "A"), seat("g9", "3", "A")]);

    let fault = refusal(&file);

    assert_eq!(
        fault.message,
        "zone \"circle\", row \"1\" (the zone's 1.): 2 seats share their seat_guid with seats of zone \"Stalls\", \
         row \"00\" (the zone's 1.): g1, g2"
    );
}

#[test]
fn the_list_of_shared_guids_is_bounded() {
    let mut file = file();
    let seats: Vec<_> = (0..5_000).map(|n| seat(&format!("guid-{n}"), "1", "A")).collect();
    file["zones"][1]["rows"] = json!([{"row_number": "1", "seats": seats}, {"row_number": "2", "seats": seats}]);

    let fault = refusal(&file);

    assert!(fault.message.contains("5000 seats"), "{fault}");
    assert!(fault.message.contains("guid-39, …") && !fault.message.contains("guid-40"), "{fault}");
}

#[test]
fn faults_name_zone_row_and_seat() {
    let mut undeclared = file();
    undeclared["zones"][0]["rows"][1]["seats"][0]["category"] = json!("C");
    assert_eq!(
        refusal(&undeclared).message,
        "zone \"Stalls\", row \"-2\" (the zone's 2.), seat \"1\": category \"C\" is not declared"
    );

    let mut empty_guid = file();
    empty_guid["zones"][0]["rows"][1]["seats"][0]["seat_guid"] = json!("");
    assert!(refusal(&empty_guid).message.ends_with("seat \"1\": seat_guid must be 1 to 255 characters long"));

    let mut nul = file();
    nul["zones"][0]["rows"][1]["seats"][0]["seat_number"] = json!("\0");
    assert!(refusal(&nul).message.contains("NUL"));
}

#[test]
fn an_empty_plan_needs_an_area() {
    let mut file = file();
    file["zones"] = json!([]);

    assert_eq!(refusal(&file).message, "has neither seats nor areas: there is nothing to sell");
    let areas = Additions { areas: vec![area("Floor", 300)], ..Additions::default() };
    assert_eq!(read(&file, areas).unwrap().areas.len(), 1);
}

#[test]
fn additions_are_checked() {
    let cases = [
        ("accessible_categories.0", Additions { accessible_categories: vec!["C".into()], ..Additions::default() }),
        ("areas.1.name", Additions { areas: vec![area("Floor", 1), area(" Floor", 1)], ..Additions::default() }),
        ("areas.0.name", Additions { areas: vec![area("", 1)], ..Additions::default() }),
        ("areas.0.capacity", Additions { areas: vec![area("Floor", 0)], ..Additions::default() }),
        ("areas.0.capacity", Additions { areas: vec![area("Floor", 1_000_001)], ..Additions::default() }),
        ("name", Additions { name: "x".repeat(201), ..Additions::default() }),
    ];
    for (field, additions) in cases {
        assert_eq!(read(&file(), additions).unwrap_err().field, field);
    }
}

proptest! {
    #[test]
    fn any_distinct_guids_pass_and_any_repeat_is_refused(
        guids in proptest::collection::hash_set("\\PC{1,20}", 2..30), repeated: proptest::sample::Index
    ) {
        let mut guids: Vec<_> = guids.into_iter().collect();
        let with = |guids: &[String]| {
            let mut file = file();
            file["zones"][0]["rows"] = guids
                .iter()
                .map(|guid| json!({"row_number": "1", "seats": [seat(guid, "1", "A")]}))
                .collect();
            file["zones"][1]["rows"] = json!([]);
            file
        };
        prop_assert!(read(&with(&guids), Additions::default()).is_ok());

        guids.push(repeated.get(&guids).clone());
        prop_assert!(refusal(&with(&guids)).message.contains("1 seats share their seat_guid"));
    }
}
