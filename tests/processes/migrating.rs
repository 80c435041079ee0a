//! `eventix migrate`, and what services do with a schema that is not theirs to change.

use std::fs;
use std::process::Command;

use common::testing::TestDb;

use crate::deployment::{Databases, Deployment, free_address};
use crate::harness::{EVENTIX, text};

#[tokio::test]
async fn a_service_that_may_not_migrate_names_the_command_that_does() {
    let databases = Databases::make();
    let deployment = Deployment::plan(&databases.settings()).await;
    let (at, admin) = (free_address().to_string(), free_address().to_string());
    let start = ["booking", "--listen", &at, "--admin-listen", &admin];

    let refused = deployment.said(&start);
    let migrated = deployment.said(&["migrate", "booking"]);
    let again = deployment.said(&["migrate", "booking"]);

    assert_eq!(refused.status.code(), Some(1));
    let said = text(&refused.stderr);
    let line = said.lines().last().unwrap();
    assert!(line.starts_with("eventix: ") && line.contains("the database of booking lacks "), "{said}");
    assert!(line.ends_with("run `eventix migrate booking`"), "{said}");
    let first = text(&migrated.stdout);
    assert!(first.starts_with("booking: ") && !first.starts_with("booking: 0"), "{first}{}", text(&migrated.stderr));
    assert!(first.contains("_booking_owner:***@"), "the owner migrates, and his password is not shown: {first}");
    assert!(text(&again.stdout).starts_with("booking: 0 migrations applied to "), "{}", text(&again.stdout));
    let _booking = deployment.start("booking").await;
}

#[tokio::test]
async fn commands_that_migrate_at_once_all_succeed_and_one_does_it() {
    let database = TestDb::postgres().await;
    let migrate = || {
        Command::new(EVENTIX)
            .args(["migrate", "booking"])
            .env("EVENTIX_BOOKING__DATABASE__URL", &database.url)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap()
    };

    let running: Vec<_> = (0..4).map(|_| migrate()).collect();
    let outputs: Vec<_> = running.into_iter().map(|child| child.wait_with_output().unwrap()).collect();

    for output in &outputs {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let idle = outputs.iter().filter(|output| text(&output.stdout).starts_with("booking: 0 migrations")).count();
    assert_eq!(idle, 3);
}

#[test]
fn files_name_the_settings_of_each_service() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalog.toml");
    let database = folder.path().join("elsewhere.db");
    fs::write(&file, format!("[database]\nurl = \"sqlite://{}?mode=rwc\"\n", database.display())).unwrap();
    let config = format!("catalog={}", file.display());
    let data = folder.path().join("data");

    let output =
        Command::new(EVENTIX).args(["migrate", "catalog", "--config", &config, "--data"]).arg(&data).output().unwrap();

    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(database.is_file() && !data.exists());
}
