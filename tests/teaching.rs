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

/// Waits until a customer has one confirmed booking with two tickets, and returns their tokens.
async fn two_tickets(product: &Product, user: &str) -> Vec<String> {
    let token = product.token(user, "Customer");
    let confirmed = async || {
        let data = product.data(Some(&token), STATES, json!({})).await;
        let booking = &data["myBookings"]["edges"][0]["node"];
        let tickets = booking["tickets"].as_array()?.iter();
        let tokens: Vec<String> = tickets.map(|ticket| ticket["token"].as_str().unwrap().to_owned()).collect();
        (booking["state"] == "CONFIRMED" && tokens.len() == 2).then_some(tokens)
    };
    eventually("a confirmed booking with two tickets", PATIENCE, confirmed).await
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Verifies a ticket with the README's program for gates.
#[expect(clippy::disallowed_methods, reason = "a tool of the test run, not a setting of the product")]
fn verify(product: &Product, token: &str) -> Output {
    let readme = readme();
    let program = readme.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let program = program.replace("127.0.0.1:8080", &product.http.to_string());
    let python = std::env::var("EVENTIX_TEST_PYTHON").expect("EVENTIX_TEST_PYTHON: run the tests through ./tests/run");
    Command::new(python).args(["-c", &program, token]).output().unwrap()
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
    let tokens = two_tickets(&product, "alice").await;
    for token in &tokens {
        let verified = verify(&product, token);
        assert!(verified.status.success(), "{}", text(&verified.stderr));
        assert!(text(&verified.stdout).starts_with("{'ticket': '"), "{}", text(&verified.stdout));
    }
    let bent = format!("{}.{}", tokens[0].rsplit_once('.').unwrap().0, tokens[1].rsplit_once('.').unwrap().1);
    let refused = verify(&product, &bent);
    assert!(!refused.status.success(), "{}", text(&refused.stdout));
    assert!(text(&refused.stderr).contains("InvalidSignature"), "{}", text(&refused.stderr));
}

#[tokio::test]
async fn the_tour_of_the_readme_works_as_printed() {
    let product = Product::start(&[]);
    let folder = product.data.parent().unwrap();
    let readme = readme();
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
