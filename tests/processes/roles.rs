//! The deployment's own roles file, on a real server: what each role may do, and that the product needs no more.

use common::db::Db;

use crate::deployment::{Databases, Deployment, PASSWORD, book, free_address};
use crate::harness::text;

#[tokio::test(flavor = "multi_thread")]
async fn four_processes_with_the_least_rights_sell_a_seat() {
    let databases = Databases::make();
    databases.apply();
    let deployment = Deployment::plan(&databases.settings()).await;
    let migrated = deployment.said(&["migrate"]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let processes = deployment.start_all().await;
    let second = deployment.start_at("booking", free_address()).await;

    book(&deployment.shop(), "alice").await;

    let audit = deployment.assert_audit_clean();
    assert!(!audit.contains("ledger is not here"), "the provider's ledger is part of it: {audit}");
    let letters = deployment.said(&["dead-letters", "list"]);
    assert!(letters.status.success() && text(&letters.stdout).starts_with("ID "), "{}", text(&letters.stderr));
    assert_ne!(instance(&processes[1].log()), instance(&second.log()), "replicas have names of their own in leases");
    assert!(!deployment.data().exists(), "nothing was kept in the data folder");
    for process in processes.iter().chain([&second]) {
        assert!(!process.log().contains(PASSWORD), "{}", process.log());
    }
}

fn instance(log: &str) -> String {
    let (_, rest) = log.split_once("instance=\"").expect("a process logs its name");
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn the_application_changes_rows_and_nothing_else() {
    let databases = Databases::make();
    let deployment = Deployment::plan(&databases.settings()).await;
    let migrated = deployment.said(&["migrate", "all"]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let app = Db::connect(&databases.url("booking", "app"), 1).await.unwrap();

    let read = app.query(app.reader(), "SELECT nextval('fences'), count(*) FROM bookings", []).await;
    let written = app.execute(app.writer(), "DELETE FROM bookings", []).await;
    let mut refusals = Vec::new();
    for sql in [
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE bookings ADD COLUMN mine int",
        "DROP TABLE bookings",
        "TRUNCATE bookings",
        "DROP INDEX bookings_pkey",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
    ] {
        refusals.push((sql, app.execute(app.writer(), sql, []).await));
    }

    assert!(read.is_ok() && written.is_ok(), "{read:?} {written:?}");
    for (sql, refusal) in refusals {
        let error = refusal.expect_err(sql).to_string();
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn histories_and_ledgers_can_only_be_added_to() {
    let databases = Databases::make();
    let deployment = Deployment::plan(&databases.settings()).await;
    let migrated = deployment.said(&["migrate", "all"]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));

    for again in [false, true] {
        if again {
            databases.apply();
        }
        for (service, table) in [
            ("catalog", "history"),
            ("booking", "history"),
            ("payment", "history"),
            ("payment", "ledger_entries"),
            ("provider", "provider_entries"),
        ] {
            let app = Db::connect(&databases.url(service, "app"), 1).await.unwrap();
            let read = app.query(app.reader(), format!("SELECT count(*) FROM {table}"), []).await;
            assert!(read.is_ok(), "{service}: {read:?}");
            for sql in [format!("UPDATE {table} SET at = 0"), format!("DELETE FROM {table}")] {
                let error = app.execute(app.writer(), sql.as_str(), []).await.expect_err(&sql).to_string();
                assert!(error.contains("permission denied"), "{service}, {sql}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn no_role_reaches_another_services_database() {
    let databases = Databases::make();

    for (database, service, role) in
        [("catalog", "booking", "app"), ("payment", "booking", "owner"), ("provider", "payment", "app")]
    {
        let refusal =
            Db::connect(&databases.url_of(database, service, role), 1).await.map(drop).unwrap_err().to_string();

        assert!(refusal.contains("permission denied for database"), "{service} {role}: {refusal}");
        assert!(!refusal.contains(PASSWORD), "{refusal}");
    }
}
