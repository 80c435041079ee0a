//! The contracts under `proto/` and their guard: what `buf` accepts, and that it refuses what breaks a caller.
//! The contracts of the commit named in `proto/BASELINE` are what callers were built against.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const FIELD: &str = "  string decline_code = 9;\n";

fn buf(folder: &Path, args: &[&str]) -> Output {
    let run = Command::new("buf").current_dir(folder).args(args).output();
    run.expect("`buf` must be on PATH: run the tests through ./tests/run, which brings it")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The contracts as the baseline has them.
fn baseline() -> TempDir {
    let commit = fs::read_to_string(Path::new(ROOT).join("proto/BASELINE")).unwrap();
    let folder = TempDir::new().unwrap();
    let archive = Command::new("git").current_dir(ROOT).args(["archive", commit.trim(), "proto", "buf.yaml"]).output();
    let archive = archive.unwrap();
    assert!(archive.status.success(), "the commit named in proto/BASELINE is not here: {}", said(&archive));
    let tar = folder.path().join("baseline.tar");
    fs::write(&tar, archive.stdout).unwrap();
    assert!(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(folder.path()).status().unwrap().success());
    folder
}

/// A copy of the contracts to change.
fn copy() -> TempDir {
    let folder = TempDir::new().unwrap();
    let copied = Command::new("cp").current_dir(ROOT).args(["-r", "proto", "buf.yaml"]).arg(folder.path()).status();
    assert!(copied.unwrap().success());
    folder
}

fn against(baseline: &TempDir, folder: &Path) -> Output {
    buf(folder, &["breaking", "--against", baseline.path().to_str().unwrap()])
}

#[test]
fn contracts_follow_the_rules() {
    let output = buf(Path::new(ROOT), &["lint"]);

    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn contracts_break_nobody_built_against_the_baseline() {
    let output = against(&baseline(), Path::new(ROOT));

    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn a_removed_field_is_refused_by_name() {
    let copy = copy();
    let file = copy.path().join("proto/eventix/booking/v1/booking.proto");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(FIELD));
    fs::write(&file, text.replace(FIELD, "")).unwrap();

    let output = against(&baseline(), copy.path());

    assert!(!output.status.success());
    assert!(said(&output).contains("decline_code"), "{}", said(&output));
}
