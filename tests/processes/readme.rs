//! The README's commands for separate processes, run as printed, on this test's databases and ports.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::deployment::{Databases, free_address};
use crate::harness::{EVENTIX, text};

/// Patience with the whole of it, seconds; `timeout` ends every process of it.
const SECONDS: &str = "150";
/// Ports that the commands name or that processes take by default, and the settings that follow from them.
const PORTS: [(&str, &[&str]); 11] = [
    ("50051", &["EVENTIX_CATALOG__LISTEN"]),
    ("50052", &["EVENTIX_BOOKING__LISTEN"]),
    ("50053", &["EVENTIX_PAYMENT__LISTEN"]),
    ("50054", &["EVENTIX_CATALOG__BROKERS", "EVENTIX_BOOKING__BROKERS", "EVENTIX_PAYMENT__BROKERS"]),
    ("50061", &["EVENTIX_CATALOG__ADMIN_LISTEN"]),
    ("50062", &["EVENTIX_BOOKING__ADMIN_LISTEN"]),
    ("50063", &["EVENTIX_PAYMENT__ADMIN_LISTEN"]),
    ("50152", &[]),
    ("50162", &[]),
    ("8080", &["EVENTIX_GATEWAY__LISTEN"]),
    ("8081", &["EVENTIX_GATEWAY__ADMIN_LISTEN"]),
];

#[tokio::test]
async fn separate_processes_start_as_the_readme_says() {
    let databases = Databases::make();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split("## Run it as separate processes").nth(1).unwrap();
    let printed = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let binaries = Path::new(EVENTIX).parent().unwrap();
    assert!(binaries.join("eventix-devbroker").is_file(), "build it first: cargo build --workspace --bins");

    let mut script = printed
        .replace("cargo build --workspace --bins && export PATH=$PWD/target/debug:", "export PATH=$BINARIES:")
        .replace("127.0.0.1:5432\n", &format!("{}\n", databases.server_address()))
        .replace("deploy/postgres/roles.sql", &format!("{}/deploy/postgres/roles.sql", root.display()))
        .replace("psql -q ", &format!("psql -q -v prefix={} ", databases.prefix()))
        .replace("/eventix_", &format!("/{}_", databases.prefix()));
    let mut elsewhere = Vec::new();
    for (port, settings) in PORTS {
        let address = free_address().to_string();
        script = script.replace(&format!("127.0.0.1:{port}"), &address);
        elsewhere.extend(settings.iter().map(|name| (*name, address.clone())));
        match port {
            "50051" => {
                elsewhere.push(("EVENTIX_GATEWAY__CATALOG__ENDPOINTS", format!("http://{address}")));
                elsewhere.push(("EVENTIX_BOOKING__CATALOG__ENDPOINTS", format!("http://{address}")));
            }
            "50053" => {
                elsewhere.push(("EVENTIX_GATEWAY__PAYMENT__ENDPOINTS", format!("http://{address}")));
                elsewhere.push(("EVENTIX_BOOKING__PAYMENT__ENDPOINTS", format!("http://{address}")));
            }
            _ => {}
        }
    }

    let output = Command::new("timeout")
        .args([SECONDS, "bash", "-c", &script])
        .env("BINARIES", binaries)
        .envs(elsewhere)
        .current_dir(folder.path())
        .output()
        .unwrap();

    let said = text(&output.stdout);
    assert!(said.contains("{\"data\":{\"events\":{\"edges\":[]}}}"), "{said}{}", text(&output.stderr));
    assert!(said.contains("audit: all 10 invariants hold"), "{said}{}", text(&output.stderr));
}
