//! `run.json`: which process serves the folder and where, so that other commands need the folder only.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::Folder;

const NAME: &str = "run.json";

/// The running product of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFile {
    /// Its process.
    pub pid: u32,
    /// Where GraphQL is served.
    pub http: SocketAddr,
    /// Where the services are.
    pub grpc: GrpcAddresses,
    /// Where the development broker is.
    pub broker: SocketAddr,
}

/// Where the services are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcAddresses {
    /// `eventix.catalog.v1.CatalogService`
    pub catalog: SocketAddr,
    /// `eventix.booking.v1.BookingService`
    pub booking: SocketAddr,
    /// `eventix.payment.v1.PaymentService`
    pub payment: SocketAddr,
}

/// Removes the file when dropped.
#[derive(Debug)]
pub struct RunFileGuard {
    path: PathBuf,
}

impl Drop for RunFileGuard {
    fn drop(&mut self) {
        // A file that stays is found stale by its reader.
        let _ = fs::remove_file(&self.path);
    }
}

impl Folder {
    /// Tells others where the product is; whole or not at all.
    pub fn tell(&self, run: &RunFile) -> anyhow::Result<RunFileGuard> {
        let (path, draft) = (self.file(NAME), self.file("run.json.new"));
        let write = || {
            fs::write(&draft, serde_json::to_string_pretty(run)? + "\n")?;
            fs::rename(&draft, &path).map_err(anyhow::Error::from)
        };
        write().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(RunFileGuard { path })
    }

    /// Forgets what a killed product left behind. Only for the holder of the lock.
    pub fn forget_stale(&self) {
        let _ = fs::remove_file(self.file(NAME));
    }

    /// The product that runs on this folder now.
    ///
    /// # Errors
    /// None does: there is no file, or the one there was left by a killed process.
    pub fn running(&self) -> anyhow::Result<RunFile> {
        let Ok(text) = fs::read_to_string(self.file(NAME)) else { return self.not_running() };
        if !self.is_locked()? {
            return self.not_running();
        }
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", self.file(NAME).display()))
    }

    fn not_running<T>(&self) -> anyhow::Result<T> {
        bail!("Eventix is not running with data folder {}", self.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> RunFile {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let grpc = GrpcAddresses { catalog: at(2), booking: at(3), payment: at(4) };
        RunFile { pid: 7, http: at(1), grpc, broker: at(5) }
    }

    #[test]
    fn addresses_are_told_while_the_lock_is_held() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path()).unwrap();
        let _lock = folder.lock().unwrap();

        let guard = folder.tell(&example()).unwrap();

        assert_eq!(folder.running().unwrap(), example());
        drop(guard);
        assert!(folder.running().is_err());
    }

    #[test]
    fn a_stale_file_means_not_running() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(parent.path()).unwrap();
        let lock = folder.lock().unwrap();
        let _guard = folder.tell(&example()).unwrap();
        drop(lock);

        let refusal = folder.running().unwrap_err().to_string();

        assert_eq!(refusal, format!("Eventix is not running with data folder {}", parent.path().display()));
    }
}
