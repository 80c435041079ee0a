//! A full disk under the databases: calls fail and say so, nothing is half done, and with room again everything goes on.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::client::Shop;
use crate::crowd::Crowd;
use crate::harness::eventually;
use crate::harness::mesh::{Databases, Plan};
use crate::harness::postgres::Postgres;
use crate::lane::{Lane, impatient};
use crate::report;

/// Longest time until a full disk is felt.
const FELT: Duration = Duration::from_secs(60);
/// How long it stays full from then on.
const FULL: Duration = Duration::from_secs(3);
/// Between two probes.
const BREATH: Duration = Duration::from_millis(100);
/// What the filler writes at once; smaller pieces fill what larger ones leave.
const PIECES: [usize; 3] = [1024 * 1024, 64 * 1024, 4096];

/// A small file system in memory, unmounted when dropped.
struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts one on an empty folder.
    fn mount(folder: &Path, size: &str) -> Self {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).arg(folder);
        let output = mount.output().unwrap();
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "this test must be allowed to mount a tmpfs (run it as root): {why}");
        Self { folder: folder.to_owned() }
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves no room at all.
    fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        for piece in PIECES {
            let piece = vec![0; piece];
            loop {
                match filler.write(&piece) {
                    Ok(1..) => {}
                    Ok(0) => break,
                    Err(error) if error.kind() == ErrorKind::StorageFull => break,
                    Err(error) => panic!("filling {}: {error}", self.folder.display()),
                }
            }
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still runs in it ends in its own time.
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).status();
    }
}

/// Fills the disk until holds are refused for want of it, and says how they were refused.
async fn filled_until_felt(disk: &SmallDisk, lane_shop: &Shop, lane: &str, event: &str, seat: &str) -> Vec<String> {
    let mut n = 0;
    let mut probe = async || {
        n += 1;
        let user = format!("{lane}-probe-{n}");
        Some(lane_shop.hold(&user, event, &[seat.to_owned()], "hold").await.err()?.to_string())
    };
    let first = eventually("the full disk is felt", FELT, async || {
        disk.fill();
        probe().await
    })
    .await;
    let mut refusals = vec![first];
    let until = Instant::now() + FULL;
    while Instant::now() < until {
        disk.fill();
        refusals.extend(probe().await);
        tokio::time::sleep(BREATH).await;
    }
    refusals
}

fn assert_clear(refusals: &[String]) {
    for refusal in refusals {
        assert!(refusal.contains("UNAVAILABLE"), "{refusal}");
    }
}

#[tokio::test]
async fn a_full_disk_under_sqlite_refuses_clearly_and_halves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path(), "48m");
    let mut lane = Lane::open(impatient(Plan::on(Databases::FolderOf(folder.path().to_owned())))).await;
    let seat = lane.event.seat();

    let outcome = Crowd::during(&lane.shop, &lane.event, "sqlite", async {
        let refusals = filled_until_felt(&disk, &lane.shop, "sqlite", &lane.event.id, &seat).await;
        disk.make_room();
        refusals
    })
    .await;

    assert_clear(&outcome.fault);
    let log = lane.mesh.node(crate::harness::mesh::Service::Booking).log();
    assert!(log.contains("disk is full"), "booking does not say why: {log}");
    lane.assert_clean("a full disk under SQLite").await;
    report("the disk under SQLite full", outcome.bookings, outcome.converged);
}

#[tokio::test]
async fn a_full_disk_under_postgresql_refuses_clearly_and_halves_nothing() {
    let mut disk = None;
    let mut postgres = Postgres::start_with(|data| disk = Some(SmallDisk::mount(data, "256m"))).await;
    let disk = disk.unwrap();
    let databases = Databases::postgres_on(&postgres.url()).await;
    let lane = Lane::open(impatient(Plan::on(databases))).await;
    let seat = lane.event.seat();

    let outcome = Crowd::during(&lane.shop, &lane.event, "postgres", async {
        let refusals = filled_until_felt(&disk, &lane.shop, "postgres", &lane.event.id, &seat).await;
        disk.make_room();
        // Without room for its log PostgreSQL gives up, and whoever runs it starts it again.
        postgres.resume_if_ended().await;
        refusals
    })
    .await;

    assert_clear(&outcome.fault);
    assert!(postgres.log().contains("No space left on device"), "{}", postgres.log());
    lane.assert_clean("a full disk under PostgreSQL").await;
    report("the disk under PostgreSQL full", outcome.bookings, outcome.converged);
}
