//! The data folder: where the databases lie, whose it is at the moment, and which addresses are in use.

mod lock;
mod run_file;

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

pub use lock::FolderLock;
pub use run_file::{GrpcAddresses, RunFile, RunFileGuard};

/// A data folder that exists.
#[derive(Debug, Clone)]
pub struct Folder {
    /// As the user named it: what messages show.
    shown: PathBuf,
    /// Absolute, so that a database address means the same everywhere.
    path: PathBuf,
}

impl Folder {
    /// Makes the folder if need be. What else lies in it is left alone.
    pub fn make(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("cannot make data folder {}", path.display()))?;
        Self::existing(path)
    }

    /// The folder as it will be once it is made.
    pub fn planned(path: &Path) -> anyhow::Result<Self> {
        let absolute = std::path::absolute(path).with_context(|| format!("data folder {}", path.display()))?;
        Ok(Self { shown: path.to_owned(), path: absolute })
    }

    /// The folder as it is.
    ///
    /// # Errors
    /// It does not exist.
    pub fn existing(path: &Path) -> anyhow::Result<Self> {
        let found = path.canonicalize().with_context(|| format!("data folder {} cannot be used", path.display()))?;
        Ok(Self { shown: path.to_owned(), path: found })
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Address of a database file, made when absent. A path may hold any character, so it is percent-encoded.
    pub fn database_url(&self, name: &str) -> String {
        format!("sqlite://{}?mode=rwc", percent_encoded(&self.file(&format!("{name}.db"))))
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path in the user's words.
    pub fn display(&self) -> std::path::Display<'_> {
        self.shown.display()
    }
}

fn percent_encoded(path: &Path) -> String {
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => text.push(char::from(*byte)),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_address_survives_unusual_folder_names() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::make(&parent.path().join("my data? 100%")).unwrap();

        let url = folder.database_url("catalog");

        assert!(url.starts_with("sqlite:///"), "{url}");
        assert!(url.ends_with("/my%20data%3F%20100%25/catalog.db?mode=rwc"), "{url}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let refusal = Folder::existing(Path::new("no/such/folder")).unwrap_err();

        assert_eq!(refusal.to_string(), "data folder no/such/folder cannot be used");
    }
}
