//! The provider as a process of its own, started by the README's commands as printed, on this test's folder and ports.

use std::path::Path;

use common::test_token::TestToken;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::client::{SAGA, Shop};
use crate::harness::process::Process;
use crate::harness::{EVENTIX, eventix, eventually, ports, run_file, text};

/// Patience with the whole of it, seconds; `timeout` ends every process of it.
const SECONDS: &str = "150";

/// The commands while they run. `timeout` makes them one group and passes SIGTERM on to it, but cannot pass SIGKILL on.
struct Running(Process);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.ended().is_none() {
            let group = Pid::from_raw(self.0.pid().cast_signed()).unwrap();
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn a_provider_of_its_own_works_as_the_readme_says() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("output");
    let mut command = Command::new("timeout");
    command.args([SECONDS, "bash", "-ec", &script()]).current_dir(folder.path());
    // Beside whatever runs on the usual ports.
    command.env("BINARIES", Path::new(EVENTIX).parent().unwrap());
    let mut running = Running(Process::spawn(&mut command, &log));
    let data = folder.path().join("data");
    let run = running.0.until("the product runs", async || run_file(&data)).await;
    let shop = Shop::at(run["http"].as_str().unwrap().parse().unwrap());
    let event = shop.seated_event().await;
    let seats = shop.free_seats(&event).await;

    for (token, seat) in ["tok_approve", "tok_callback_first", "tok_duplicate_callback"].iter().zip(&seats) {
        let booking = shop.hold(token, &event, std::slice::from_ref(seat), "hold").await.unwrap().id();
        shop.pay(token, &booking, token, "pay").await.unwrap().id();
        shop.until(token, &booking, "CONFIRMED").await;
        shop.until_payment(token, &booking, "CAPTURED").await;
    }

    let ledger = format!("sqlite://{}", data.join("ledger.db").display());
    let audit = eventix(&["audit", "--provider-database", &ledger, "--data", data.to_str().unwrap()]);
    assert!(audit.status.success(), "{}{}", text(&audit.stdout), text(&audit.stderr));
    assert!(!data.join("provider.db").exists(), "the simulated provider in the product was used");
    let db = common::db::Db::connect(&format!("{ledger}?mode=ro"), 1).await.unwrap();
    let sql = "SELECT CAST(count(*) AS bigint) AS n FROM provider_callbacks WHERE taken";
    eventually("callbacks are taken", SAGA, async || {
        let taken: i64 = db.query(db.reader(), sql, []).await.unwrap()[0].try_get("", "n").unwrap();
        (taken >= 3).then_some(())
    })
    .await;
    running.0.stop().await;
}

/// The first commands of the README's section, with the product on any free port.
fn script() -> String {
    let section = readme().split("## The payment provider").nth(1).unwrap().to_owned();
    let printed = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let here = printed
        .replace("cargo build --workspace --bins && export PATH=$PWD/target/debug:", "export PATH=$BINARIES:")
        .replace("127.0.0.1:7071", &ports::free().to_string())
        .replace("eventix up\n", "eventix up --listen 127.0.0.1:0 --grpc-base-port 0\n");
    let listen = ports::free().to_string();
    assert!(here.contains("eventix provider --database") && here.contains("--grpc-base-port 0"), "{here}");
    here.replace("127.0.0.1:7070", &listen)
        .replace("eventix provider ", &format!("eventix provider --listen {listen} "))
}

#[test]
fn the_readme_tells_of_every_test_token() {
    let readme = readme();
    let plain = TestToken::PLAIN.iter().map(ToString::to_string);

    for token in plain.chain(["tok_approve_after_<seconds>".to_owned(), "tok_refund_fails_<n>".to_owned()]) {
        assert!(readme.contains(&format!("\n| `{token}` | ")), "{token} has no row");
    }
}

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}
