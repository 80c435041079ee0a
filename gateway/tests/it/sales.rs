//! Sales reports: for organisers only, with amounts that need more than 32 bits.

use serde_json::json;

use crate::world::{World, code, id};

fn document(event: &str) -> String {
    format!(
        r#"{{ salesReport(eventId: "{event}") {{ currency lines {{ category area sold held free total grossMinor refundedMinor }}
            totals {{ sold total grossMinor refundPendingMinor refundStuckMinor }} }} }}"#
    )
}

#[tokio::test]
async fn a_report_shows_lines_and_totals() {
    let world = World::start().await;

    let answer = world.ask(&world.admin(), &document(&id(1))).await;

    let money = json!({"held": 1, "free": 2, "grossMinor": 5_000_000_000_i64, "refundedMinor": 2500});
    let line = |category, area, sold| {
        let mut line = money.clone();
        (line["category"], line["area"], line["sold"], line["total"]) = (category, area, json!(sold), json!(sold + 3));
        line
    };
    let totals = json!({"sold": 10, "total": 13, "grossMinor": 5_000_000_000_i64, "refundPendingMinor": 700, "refundStuckMinor": 300});
    let lines = [line(json!("Stalls"), json!(null), 4), line(json!(null), json!("Standing"), 6)];
    assert_eq!(answer, json!({"data": {"salesReport": {"currency": "EUR", "lines": lines, "totals": totals}}}));
}

#[tokio::test]
async fn an_unknown_event_has_no_report_and_customers_get_none() {
    let world = World::start().await;

    assert_eq!(world.ask(&world.admin(), &document("e")).await, json!({"data": {"salesReport": null}}));
    assert_eq!(code(&world.ask(&world.alice(), &document(&id(1))).await), Some("FORBIDDEN"));
    assert!(world.script.calls("get_sales_report").iter().all(|call| call.message.contains(r#"event_id: "e""#)));
}
