//! The command line, from outside: the binary as a process.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{EVENTIX, PATIENCE, Product, eventix, eventually, plans, run_file, text, token};
use serde_json::{Value, json};

const EVENTS: &str = "{ events(first: 50) { edges { node { id title perCustomerLimit status
    venue { name city country } priceRange { min { currency } } availability { free total } } } } }";

fn one_line(stderr: &[u8]) -> String {
    let said = text(stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    said.trim_end().to_owned()
}

async fn events(product: &Product) -> Vec<Value> {
    let mut data = product.data(None, EVENTS, json!({})).await;
    let edges = data["events"]["edges"].take();
    edges.as_array().unwrap().iter().map(|edge| edge["node"].clone()).collect()
}

#[tokio::test]
async fn a_token_needs_no_product_and_verifies() {
    let alice = token("alice", "Customer");

    let issuer = common::dev_issuer::DevIssuer::new(std::sync::Arc::new(common::clock::SystemClock)).unwrap();
    let principal = issuer.verifier().unwrap().verify(&alice).await.unwrap();
    assert_eq!(principal.subject, "alice");
    assert_eq!(principal.roles, [common::auth::Role::Customer]);
}

#[test]
fn the_schema_is_the_one_checked_in() {
    let output = eventix(&["schema"]);

    let checked_in = concat!(env!("CARGO_MANIFEST_DIR"), "/gateway/schema.graphql");
    assert_eq!(text(&output.stdout), fs::read_to_string(checked_in).unwrap());
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();

    let output = eventix(&["up", "--data", data.to_str().unwrap(), "--listen", &taken, "--grpc-base-port", "0"]);

    assert_eq!(output.status.code(), Some(1));
    let said = one_line(&output.stderr);
    assert_eq!(said, format!("eventix: {taken} is already in use: stop what listens there or choose another port"));
    assert!(!data.join("catalog.db").exists() && !data.join("broker.db").exists(), "nothing half started");
}

#[test]
fn a_base_port_without_room_above_it_is_refused() {
    let output = eventix(&["booking", "--grpc-base-port", "65530"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("65530 is not in 1..=65523"), "{}", text(&output.stderr));
}

#[test]
fn an_address_that_others_could_reach_is_refused() {
    let output = eventix(&["--ephemeral", "--listen", "0.0.0.0:0", "--grpc-base-port", "0"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(one_line(&output.stderr).contains("only loopback addresses are allowed"));
}

#[test]
fn only_the_embedded_run_hands_out_tokens_and_has_a_page() {
    let mut gateway = Command::new(EVENTIX)
        .args(["gateway", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(gateway.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let (address, admin) = first.trim_end().strip_prefix("gateway on ").unwrap().split_once(", admin on ").unwrap();
    let status = |(address, asked): (&str, &str)| {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{asked} HTTP/1.1\r\nhost: eventix\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };

    let answers =
        ["GET /health/live", "GET /", "POST /dev/token", "GET /metrics"].map(|asked| status((address, asked)));
    let admin_answers = ["GET /health/live", "GET /health/ready", "GET /metrics"].map(|asked| status((admin, asked)));

    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert_eq!(answers, ["200", "404", "404", "404"]);
    assert_eq!(admin_answers, ["200", "503", "200"], "no service is there");
}

#[test]
fn commands_without_a_running_product_say_so_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let plan = plans::duplicated_row(folder.path());

    let import = eventix(&["import", "seating-plan", plan.to_str().unwrap(), "--data", data, "--venue", "Hall"]);
    let export = eventix(&["export", "seating-plan", "some-id", "--data", data]);

    for output in [import, export] {
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(one_line(&output.stderr), format!("eventix: Eventix is not running with data folder {data}"));
    }
}

#[test]
fn bad_settings_exit_differently_from_a_failure() {
    let folder = tempfile::tempdir().unwrap();

    let output = Command::new(EVENTIX)
        .args(["up", "--listen", "127.0.0.1:0", "--grpc-base-port", "0", "--data"])
        .arg(folder.path().join("data"))
        .env("EVENTIX_BOOKING__NONSENSE", "1")
        .env("EVENTIX_BOOKING__DATABSE__URL", "postgres://app:hunter2@db/booking")
        .env("EVENTIX_BOOKING__HOLD", "0s")
        .env("EVENTIX_PAYMENT__MODE", "production")
        .env("EVENTIX_GATEWAY__LIMITS__DEPTH", "deep")
        .stdin(Stdio::null())
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let said = text(&output.stderr);
    for line in [
        "settings of booking cannot be used",
        "EVENTIX_BOOKING__NONSENSE: unknown",
        "EVENTIX_BOOKING__DATABSE__URL: unknown; did you mean EVENTIX_BOOKING__DATABASE__URL?",
        "EVENTIX_BOOKING__HOLD: is 0ns",
        "EVENTIX_PAYMENT__MODE: cannot be set for the whole product in one process",
        "EVENTIX_GATEWAY__LIMITS__DEPTH: invalid type: string \"deep\"",
    ] {
        assert!(said.contains(line), "{line} is missing in:\n{said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_product_tells_where_it_is_keeps_its_folder_and_survives_a_restart() {
    let mut product = Product::start(&[]);
    let run = run_file(&product.data).unwrap();
    let first = events(&product).await;

    assert_eq!(run["pid"], product.pid());
    assert_eq!(run["http"], product.http.to_string());
    let banner = || product.stdout().contains(&format!("http://{}/graphql", product.http)).then_some(());
    eventually("the first lines", PATIENCE, async || banner()).await;

    let second = product.command(&["up", "--listen", "127.0.0.1:0", "--grpc-base-port", "0"]);
    assert_eq!(second.status.code(), Some(1));
    let said = one_line(&second.stderr);
    assert!(said.contains("is in use by another Eventix") && said.contains(&product.pid().to_string()), "{said}");

    let status = product.stop();
    assert!(status.success(), "{status}\n{}", product.log());
    assert!(run_file(&product.data).is_none(), "run.json outlived a clean stop");

    product.restart();
    assert_eq!(events(&product).await, first);

    product.kill9();
    assert!(run_file(&product.data).is_some(), "a killed product leaves its file");
    let stale = product.command(&["export", "seating-plan", "x"]);
    assert!(one_line(&stale.stderr).contains("Eventix is not running with data folder"));
    product.restart();
    assert_eq!(events(&product).await, first);
}

#[tokio::test]
async fn a_first_start_makes_a_believable_programme() {
    let product = Product::start(&[]);

    let events = events(&product).await;

    assert_eq!(events.len(), 12, "{events:#?}");
    assert!(events.iter().all(|e| e["perCustomerLimit"].as_u64().unwrap() >= 6 && e["status"] == "PUBLISHED"));
    let total = |venue: &str| {
        let event = events.iter().find(|e| e["venue"]["name"] == venue).unwrap();
        assert_eq!(event["availability"]["free"], event["availability"]["total"]);
        event["availability"]["total"].as_u64().unwrap()
    };
    assert!(total("Speicher Concert Hall") >= 500);
    assert!(total("Mercer Theatre") >= 200);
    assert!(total("Club Kuroneko") >= 300);
}

#[tokio::test]
async fn a_start_adds_events_when_fewer_than_six_are_on_sale() {
    let mut product = Product::start(&[]);
    let admin = product.token("root", "Admin");
    let cancel = "mutation($id: ID!) { cancelEvent(input: {eventId: $id}) { event { status } userErrors { code } } }";
    for event in events(&product).await.iter().take(7) {
        let data = product.data(Some(&admin), cancel, json!({"id": event["id"]})).await;
        assert_eq!(data["cancelEvent"]["event"]["status"], "CANCELLED", "{data}");
    }
    let on_sale = async |product: &Product| {
        events(product).await.into_iter().filter(|event| event["status"] == "PUBLISHED").collect::<Vec<_>>()
    };
    let kept = on_sale(&product).await;
    assert_eq!(kept.len(), 5);

    product.restart();

    let now = on_sale(&product).await;
    assert_eq!(now.len(), 12);
    assert!(kept.iter().all(|event| now.iter().any(|other| other["id"] == event["id"])));
    product.restart();
    assert_eq!(on_sale(&product).await, now, "enough are on sale, so a start adds none");
}

#[tokio::test]
async fn an_ephemeral_product_leaves_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new(EVENTIX)
        .args(["--ephemeral", "--listen", "127.0.0.1:0", "--grpc-base-port", "0"])
        .env("TMPDIR", temp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let inside = || fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let until = Instant::now() + PATIENCE;
    while !inside().iter().any(|folder| folder.join("run.json").exists()) {
        assert!(Instant::now() < until && child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child.wait().unwrap();

    assert!(status.success(), "{status}");
    assert_eq!(inside(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_stadium_is_imported_put_on_sale_and_exported_again() {
    let product = Product::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = plans::stadium(folder.path());
    let file = file.to_str().unwrap();

    let output = product.command(&[
        "import",
        "seating-plan",
        file,
        "--venue",
        "City Stadium",
        "--city",
        "Kharkiv",
        "--country",
        "UA",
        "--time-zone",
        "Europe/Kyiv",
        "--accessible",
        "Tribune North",
        "--area",
        "Fan zone=500",
        "--event",
        "Cup final",
        "--starts-at",
        "2030-05-20T18:00:00Z",
        "--currency",
        "UAH",
        "--price",
        "Tribune West=45000",
        "--price",
        "Tribune South=30000",
        "--price",
        "Tribune East=40000",
        "--price",
        "Tribune North=30000",
        "--price",
        "Fan zone=20000",
    ]);

    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    let id = |name: &str| said.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap().to_owned();
    let query = "query($id: ID!) { event(id: $id) { status venue { name } availability { free total } } }";
    let event = product.data(None, query, json!({"id": id("event")})).await;
    assert_eq!(event["event"]["venue"]["name"], "City Stadium");
    assert_eq!(event["event"]["availability"]["total"], plans::STADIUM_SEATS + 500);
    assert_eq!(event["event"]["availability"]["free"], plans::STADIUM_SEATS + 500);

    let export = product.command(&["export", "seating-plan", &id("seating-plan")]);
    assert!(export.status.success(), "{}", text(&export.stderr));
    let (before, after): (Value, Value) =
        (serde_json::from_slice(&fs::read(file).unwrap()).unwrap(), serde_json::from_slice(&export.stdout).unwrap());
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_plan_with_a_row_twice_is_refused_whole_and_named() {
    let product = Product::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = plans::duplicated_row(folder.path());

    let output = product.command(&["import", "seating-plan", file.to_str().unwrap(), "--venue", "Nowhere Arena"]);

    assert_eq!(output.status.code(), Some(1));
    let said = one_line(&output.stderr);
    for fact in [plans::DUPLICATED_ZONE, plans::DUPLICATED_ROW, "35", plans::DUPLICATED_GUID] {
        assert!(said.contains(fact), "{fact:?} is missing in: {said}");
    }
    let venues = product
        .data(Some(&product.token("root", "Admin")), "{ venues(first: 100) { edges { node { name } } } }", json!({}))
        .await;
    assert!(!venues.to_string().contains("Nowhere Arena"), "{venues}");
}

#[tokio::test]
async fn a_category_without_a_price_is_refused_by_name() {
    let product = Product::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = plans::stadium(folder.path());

    let output = product.command(&[
        "import",
        "seating-plan",
        file.to_str().unwrap(),
        "--venue",
        "Nowhere Arena",
        "--event",
        "Cup final",
        "--starts-at",
        "2030-05-20T18:00:00Z",
        "--currency",
        "UAH",
        "--price",
        "Tribune West=45000",
        "--price",
        "Tribune South=30000",
        "--price",
        "Tribune East=40000",
    ]);

    assert_eq!(output.status.code(), Some(1));
    assert!(one_line(&output.stderr).contains("Tribune North"));
}

#[tokio::test]
async fn dead_letters_are_listed_and_decided_once() {
    let product = Product::start(&[]);
    let url = format!("sqlite://{}?mode=rw", product.data.join("booking.db").display());
    let db = common::db::Db::connect(&url, 1).await.unwrap();
    let id = uuid::Uuid::now_v7();
    let insert = "INSERT INTO dead_letters (id, consumer, producer, log_partition, log_offset, headers, error, status, created_at)
        VALUES ($1, 'booking', 'payment', 0, 7, '{}', 'unknown fact', 'open', 0)";
    db.execute(db.writer(), insert, [id.into()]).await.unwrap();

    let list = product.command(&["dead-letters", "list"]);
    let discarded = product.command(&["dead-letters", "discard", &id.to_string()]);
    let again = product.command(&["dead-letters", "requeue", &id.to_string()]);

    assert!(text(&list.stdout).contains("unknown fact") && text(&list.stdout).contains(&id.to_string()));
    assert!(discarded.status.success(), "{}", text(&discarded.stderr));
    assert_eq!(one_line(&again.stderr), format!("eventix: dead letter {id} is already discarded"));
}
