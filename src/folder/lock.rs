//! Who uses a data folder. The lock is the kernel's: it is gone with its process, however that ended.
//!
//! The whole product takes `lock` alone; services that run as processes of their own share it, and each takes a lock of
//! its own name besides, so that no service runs twice on one folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Folder;

/// A command that looks whether a product runs holds the lock for an instant; starting waits that long for it.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// Keeps a folder; let go by dropping.
#[derive(Debug)]
pub struct FolderLock {
    _files: Vec<File>,
}

impl Folder {
    /// Takes the folder for the whole product.
    ///
    /// # Errors
    /// Somebody else uses it; named by process id when known.
    pub fn lock(&self) -> anyhow::Result<FolderLock> {
        let mut file = open(&self.file("lock"))?;
        if !taken(&file, FlockOperation::NonBlockingLockExclusive)? {
            bail!("data folder {} is in use by another Eventix{}", self.display(), holder(&mut file));
        }
        sign(&mut file)?;
        Ok(FolderLock { _files: vec![file] })
    }

    /// Takes the folder for one service, beside others.
    ///
    /// # Errors
    /// The whole product or the same service uses it.
    pub fn lock_for(&self, service: &str) -> anyhow::Result<FolderLock> {
        let mut shared = open(&self.file("lock"))?;
        if !taken(&shared, FlockOperation::NonBlockingLockShared)? {
            bail!("data folder {} is in use by a whole Eventix{}", self.display(), holder(&mut shared));
        }
        shared.set_len(0).context("cannot write the folder's lock")?;
        let mut own = open(&self.file(&format!("{service}.lock")))?;
        if !taken(&own, FlockOperation::NonBlockingLockExclusive)? {
            bail!("data folder {} is in use by another {service}{}", self.display(), holder(&mut own));
        }
        sign(&mut own)?;
        Ok(FolderLock { _files: vec![shared, own] })
    }

    /// Whether a whole product uses the folder now.
    pub(super) fn is_locked(&self) -> anyhow::Result<bool> {
        let Ok(file) = File::open(self.file("lock")) else { return Ok(false) };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error).context("cannot look at the folder's lock"),
        }
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn taken(file: &File, how: FlockOperation) -> anyhow::Result<bool> {
    for attempt in 1..=ATTEMPTS {
        match flock(file, how) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if attempt < ATTEMPTS => sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => break,
            Err(error) => return Err(error).context("cannot lock the data folder"),
        }
    }
    Ok(false)
}

fn sign(file: &mut File) -> anyhow::Result<()> {
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(file).context("cannot write the folder's lock")
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(pid) => format!(" (pid {pid})"),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(&parent.path().join("data")).unwrap();
        (parent, folder)
    }

    #[test]
    fn a_second_product_is_refused_and_told_who_is_there() {
        let (_parent, folder) = folder();
        let kept = folder.lock().unwrap();

        let refusal = folder.lock().unwrap_err().to_string();

        assert!(refusal.ends_with(&format!("is in use by another Eventix (pid {})", std::process::id())), "{refusal}");
        drop(kept);
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn services_share_a_folder_but_not_with_a_whole_product_or_their_twin() {
        let (_parent, folder) = folder();
        let _catalog = folder.lock_for("catalog").unwrap();
        let _booking = folder.lock_for("booking").unwrap();

        assert!(folder.lock().unwrap_err().to_string().ends_with("is in use by another Eventix"));
        assert!(folder.lock_for("catalog").unwrap_err().to_string().contains("in use by another catalog (pid"));
    }

    #[test]
    fn looking_at_a_lock_does_not_take_it() {
        let (_parent, folder) = folder();
        assert!(!folder.is_locked().unwrap());

        let _kept = folder.lock().unwrap();

        assert!(folder.is_locked().unwrap());
    }
}
