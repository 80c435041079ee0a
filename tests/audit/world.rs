//! A product's databases after a little of everything was booked, once for all tests; each test corrupts a copy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use common::db::Db;
use eventix::audit::Databases;
use sea_orm::Value;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::client::Shop;
use crate::harness::{Product, eventix, eventually, text};

/// What a running product's audit said, and where its databases were copied when it had stopped.
pub struct Template {
    /// Said beside the running product.
    pub beside: Output,
    folder: PathBuf,
}

static TEMPLATE: OnceCell<Template> = OnceCell::const_new();

/// The healthy databases:
///
/// - `alice` has two seats, `bob` two places of an area, `dave` a seat after a declined attempt: all confirmed
/// - `carol` cancelled a confirmed seat, `erin` released a hold
/// - `frank` holds a seat, `grace` holds two places
pub async fn template() -> &'static Template {
    TEMPLATE
        .get_or_init(|| async {
            let mut product = Product::start(&[]);
            book(&Shop::of(&product)).await;
            let beside = product.command(&["audit"]);
            let status = product.stop();
            assert!(status.success(), "{status}");
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("audit-template");
            let _ = fs::remove_dir_all(&folder);
            copy(&product.data, &folder);
            Template { beside, folder }
        })
        .await
}

async fn book(shop: &Shop) {
    let seated = shop.seated_event().await;
    let seats = shop.free_seats(&seated).await;
    let (standing, area) = event_with_area(shop).await;
    let held = |user, seats: &[String]| {
        let (shop, seated, seats) = (shop.clone(), seated.clone(), seats.to_vec());
        async move { shop.hold(user, &seated, &seats, "hold").await.unwrap().id() }
    };

    let alice = held("alice", &seats[0..2]).await;
    confirm(shop, "alice", &alice, "pay").await;
    let bob = shop.hold_places("bob", &standing, &area, 2, "hold").await.unwrap().id();
    confirm(shop, "bob", &bob, "pay").await;
    let carol = held("carol", &seats[2..3]).await;
    confirm(shop, "carol", &carol, "pay").await;
    shop.cancel("carol", &carol, "cancel").await.unwrap().id();
    let dave = held("dave", &seats[3..4]).await;
    shop.pay("dave", &dave, "tok_decline", "first").await.unwrap().id();
    shop.until("dave", &dave, "HELD").await;
    confirm(shop, "dave", &dave, "second").await;
    let erin = held("erin", &seats[4..5]).await;
    shop.release("erin", &erin, "release").await.unwrap().id();
    held("frank", &seats[5..6]).await;
    shop.hold_places("grace", &standing, &area, 2, "hold").await.unwrap().id();

    for (user, booking, state) in
        [("carol", &carol, "REFUNDED"), ("alice", &alice, "CAPTURED"), ("bob", &bob, "CAPTURED")]
    {
        eventually(&format!("payment of {user} {state}"), Duration::from_secs(60), async || {
            (shop.booking(user, booking).await["payment"]["state"] == state).then_some(())
        })
        .await;
    }
}

async fn confirm(shop: &Shop, user: &str, booking: &str, key: &str) {
    shop.pay(user, booking, "tok_approve", key).await.unwrap().id();
    shop.until(user, booking, "CONFIRMED").await;
}

async fn event_with_area(shop: &Shop) -> (String, String) {
    let query = "{ events(first: 50) { edges { node { id seatMap { areas { id } } } } } }";
    let data = shop.data(None, query, json!({})).await;
    let found = data["events"]["edges"].as_array().unwrap().iter().find_map(|edge| {
        let area = edge["node"]["seatMap"]["areas"][0]["id"].as_str()?;
        Some((edge["node"]["id"].as_str()?.to_owned(), area.to_owned()))
    });
    found.expect("a demo event with an area")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for service in ["catalog", "booking", "payment", "provider"] {
        for name in [format!("{service}.db"), format!("{service}.db-wal")] {
            if from.join(&name).exists() {
                fs::copy(from.join(&name), to.join(&name)).unwrap();
            }
        }
    }
}

/// One test's own copy.
pub struct Copy {
    folder: TempDir,
}

impl Copy {
    /// A copy of the healthy databases.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&template().await.folder, folder.path());
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// One of its databases.
    pub async fn db(&self, service: &str) -> Db {
        let url = format!("sqlite://{}?mode=rw", self.folder.path().join(format!("{service}.db")).display());
        Db::connect(&url, 1).await.unwrap()
    }

    /// All of them.
    pub async fn databases(&self) -> Databases {
        Databases {
            catalog: self.db("catalog").await,
            booking: self.db("booking").await,
            payment: self.db("payment").await,
            provider: Some(self.db("provider").await),
        }
    }

    /// The first column of the first row, as the audit writes ids.
    pub async fn id(&self, service: &str, sql: &str) -> String {
        let db = self.db(service).await;
        let rows = db.query(db.reader(), sql, []).await.unwrap();
        let row = rows.first().unwrap_or_else(|| panic!("no row: {sql}"));
        match row.try_get_by_index::<uuid::Uuid>(0) {
            Ok(id) => id.to_string(),
            Err(_) => row.try_get_by_index(0).unwrap(),
        }
    }

    /// The one booking of a customer.
    pub async fn booking(&self, customer: &str) -> String {
        self.id("booking", &format!("SELECT id FROM bookings WHERE customer_id = '{customer}'")).await
    }

    /// Runs a statement that must touch at least one row.
    pub async fn corrupt(&self, service: &str, sql: &str) {
        self.corrupt_with(service, sql, []).await;
    }

    /// The same with parameters. Foreign keys do not protect against what an audit looks for.
    pub async fn corrupt_with<const N: usize>(&self, service: &str, sql: &str, values: [Value; N]) {
        let db = self.db(service).await;
        db.execute(db.writer(), "PRAGMA foreign_keys = OFF", []).await.unwrap();
        let touched = db.execute(db.writer(), sql, values).await.unwrap();
        assert!(touched > 0, "touched nothing: {sql}");
    }

    /// The audit of this copy without a second look.
    pub fn audit(&self) -> Verdict {
        let output = eventix(&["audit", "--data", self.path(), "--json", "--patience", "0"]);
        let said = text(&output.stdout);
        let report = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", text(&output.stderr)));
        Verdict { exit: output.status.code(), report }
    }
}

/// What an audit said.
pub struct Verdict {
    /// Exit code.
    pub exit: Option<i32>,
    /// Its JSON.
    pub report: Json,
}

impl Verdict {
    /// Ids of the broken invariants.
    pub fn broken(&self) -> Vec<&str> {
        let invariants = self.report["invariants"].as_array().unwrap();
        invariants.iter().filter(|i| i["ok"] == false).map(|i| i["id"].as_str().unwrap()).collect()
    }

    /// Fails unless exactly these invariants are broken, the first of them by the row with this id.
    #[track_caller]
    pub fn assert_breaks(&self, invariants: &[&str], id: &str) {
        assert_eq!(self.broken(), invariants, "{:#}", self.report);
        assert_eq!(self.exit, Some(1));
        let first = self.report["invariants"].as_array().unwrap().iter().find(|i| i["id"] == invariants[0]).unwrap();
        let named = first["rows"].as_array().unwrap().iter().any(|row| row["id"] == id);
        assert!(named, "{id} is not named: {first:#}");
    }
}
