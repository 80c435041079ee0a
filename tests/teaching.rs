//! What the product prints and what the README shows, run as printed: an example that does not work teaches the wrong thing.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod harness;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::{EVENTIX, PATIENCE, Product, eventually, text};
use serde_json::json;

const STATES: &str = "{ myBookings(first: 10) { edges { node { state tickets { token } } } } }";

/// Runs shell lines in a folder, as somebody would paste them.
fn paste(lines: &str, folder: &Path) -> Output {
    let script = folder.join("pasted.sh");
    fs::write(&script, lines).unwrap();
    Command::new("bash").current_dir(folder).arg(&script).output().unwrap()
}

/// Waits until a customer has one confirmed booking with two tickets.
async fn two_tickets(product: &Product, user: &str) {
    let token = product.token(user, "Customer");
    let confirmed = async || {
        let data = product.data(Some(&token), STATES, json!({})).await;
        let booking = &data["myBookings"]["edges"][0]["node"];
        (booking["state"] == "CONFIRMED" && booking["tickets"].as_array().unwrap().len() == 2).then_some(())
    };
    eventually("a confirmed booking with two tickets", PATIENCE, confirmed).await;
}

#[tokio::test]
async fn the_first_lines_work_as_printed() {
    let product = Product::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let printed = || Some(product.stdout()).filter(|said| said.contains("Ctrl-C stops it"));
    let said = eventually("the last of the first lines", PATIENCE, async || printed()).await;
    let after_places = said.lines().skip_while(|line| !line.starts_with("Tokens"));
    let lines: Vec<&str> = after_places.filter(|line| line.starts_with("  ")).map(str::trim_start).collect();

    let output = paste(&lines.join("\n"), folder.path());

    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("\"availabilities\""), "{}{}", text(&output.stdout), text(&output.stderr));
    two_tickets(&product, "alice").await;
}

#[tokio::test]
async fn the_tour_of_the_readme_works_as_printed() {
    let product = Product::start(&[]);
    let folder = product.data.parent().unwrap();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let tour = readme.split("## A tour with curl").nth(1).unwrap().split("## Test tokens").next().unwrap();
    let blocks = tour.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.collect::<Vec<_>>().join("\n");
    // The same lines, for this product instead of the one on the usual ports.
    let lines = lines
        .replace("cargo run -q --", EVENTIX)
        .replace("127.0.0.1:8080", &product.http.to_string())
        .replace("127.0.0.1:50052", &product.grpc.booking.to_string());

    let output = paste(&lines, folder);

    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", text(&output.stderr));
    for shown in ["\"state\":\"HELD\"", "SEATS_TAKEN", "CARD_DECLINED", "BOOKING_STATE_HELD", "\nevent "] {
        assert!(said.contains(shown), "{shown} is missing in:\n{said}\n{}", text(&output.stderr));
    }
    two_tickets(&product, "alice").await;
}
