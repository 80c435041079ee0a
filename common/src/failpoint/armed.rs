//! What strikes. A strike is a file in the folder that [`FOLDER`] names; the process that passes its point renames it and
//! does what it says. So a strike happens once, whichever replica or life of a process comes by, and leaves its mark.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Step;

/// The environment variable that names the folder of strikes; without it nothing strikes.
pub const FOLDER: &str = "EVENTIX_FAILPOINTS";
/// Ending of a strike that has happened.
const STRUCK: &str = "struck";
/// Between two looks of a process that is held up.
const LOOK: Duration = Duration::from_millis(5);

/// When, seen from the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Everything is prepared, nothing lasting has happened.
    Before,
    /// In place of the step.
    Instead,
    /// It has happened, and nobody has been told.
    After,
}

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL by its own hand.
    Kill,
    /// It waits there until [`Failpoints::release`].
    HoldUp,
    /// The step does not happen, but counts as done; only at [`Moment::Instead`].
    Lose,
}

impl Strike {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::HoldUp => "hold up",
            Self::Lose => "lose",
        }
    }
}

/// Where to strike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// At which step.
    pub step: Step,
    /// When.
    pub moment: Moment,
    /// At which kind of it, as its call names it.
    pub detail: String,
}

impl Point {
    /// A point of a step.
    pub fn new(step: Step, moment: Moment, detail: &str) -> Self {
        Self { step, moment, detail: detail.to_owned() }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {}", self.moment, self.step, self.detail)
    }
}

/// A folder of strikes: what a test arms, and the processes strike by that were started with [`FOLDER`] naming it.
#[derive(Debug, Clone)]
pub struct Failpoints {
    folder: PathBuf,
}

impl Failpoints {
    /// The strikes in a folder, which is made when absent.
    pub fn in_folder(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Where they lie: the value of [`FOLDER`].
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The next process that passes the point is struck, once.
    pub fn arm(&self, point: &Point, strike: Strike) -> io::Result<()> {
        // Renamed into place, so that nobody reads half a word.
        let unarmed = self.file(point, "unarmed");
        fs::write(&unarmed, strike.word())?;
        fs::rename(unarmed, self.folder.join(point.to_string()))
    }

    /// Whether the strike at a point has happened.
    pub fn has_struck(&self, point: &Point) -> bool {
        self.file(point, STRUCK).exists()
    }

    /// Lets a process go on that is held up, and forgets that it was.
    pub fn release(&self, point: &Point) -> io::Result<()> {
        fs::remove_file(self.file(point, STRUCK))
    }

    fn file(&self, point: &Point, ending: &str) -> PathBuf {
        self.folder.join(format!("{point}.{ending}"))
    }

    /// Takes a strike that is armed; of several who pass at once, one.
    fn take(&self, point: &Point) -> Option<String> {
        let word = fs::read_to_string(self.folder.join(point.to_string())).ok()?;
        fs::rename(self.folder.join(point.to_string()), self.file(point, STRUCK)).ok()?;
        Some(word)
    }

    async fn pass(&self, point: &Point) {
        match self.take(point) {
            Some(word) if word == Strike::Kill.word() => kill(),
            Some(word) if word == Strike::HoldUp.word() => {
                while self.has_struck(point) {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Some(_) | None => {}
        }
    }
}

/// A real `kill -9`: nothing is flushed, dropped or told.
fn kill() {
    let myself = rustix::process::getpid();
    if let Err(error) = rustix::process::kill_process(myself, rustix::process::Signal::KILL) {
        tracing::error!(%error, "a process cannot kill itself");
    }
}

/// This process's strikes.
static MINE: LazyLock<Option<Failpoints>> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "a switch of the test run, not a setting of the product")]
    let folder = std::env::var(FOLDER).ok()?;
    Some(Failpoints { folder: folder.into() })
});

/// Does a step; strikes before it, and after it if it succeeded, where that is armed for one of the details.
pub fn around<'a, 'w, T: Send, E: Send>(
    step: Step,
    details: impl IntoIterator<Item = &'a str>,
    work: impl Future<Output = Result<T, E>> + Send + 'w,
) -> BoxFuture<'w, Result<T, E>> {
    let Some(mine) = &*MINE else { return Box::pin(work) };
    let point = |detail| Point::new(step, Moment::Before, detail);
    let before: Vec<Point> = details.into_iter().map(point).collect();
    Box::pin(async move {
        for point in &before {
            mine.pass(point).await;
        }
        let done = work.await?;
        for point in before {
            mine.pass(&Point { moment: Moment::After, ..point }).await;
        }
        Ok(done)
    })
}

/// Whether a step is to be left out and counted as done.
pub fn loses(step: Step, detail: &str) -> bool {
    let taken = MINE.as_ref().and_then(|mine| mine.take(&Point::new(step, Moment::Instead, detail)));
    taken.is_some_and(|word| word == Strike::Lose.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_held_up_goes_on_when_released() {
        let folder = tempfile::tempdir().unwrap();
        let failpoints = Failpoints::in_folder(folder.path()).unwrap();
        let point = Point::new(Step::Hold, Moment::Before, "hold");
        failpoints.arm(&point, Strike::HoldUp).unwrap();

        let mut passing = Box::pin(failpoints.pass(&point));
        let held_up = tokio::time::timeout(LOOK * 4, &mut passing).await.is_err();
        failpoints.release(&point).unwrap();
        passing.await;

        assert!(held_up);
    }

    #[test]
    fn a_strike_happens_once_and_leaves_its_mark() {
        let folder = tempfile::tempdir().unwrap();
        let failpoints = Failpoints::in_folder(folder.path()).unwrap();
        let point = Point::new(Step::Publish, Moment::Instead, "eventix.booking.v1.BookingHeld");
        let other = Point { moment: Moment::Before, ..point.clone() };

        failpoints.arm(&point, Strike::Lose).unwrap();

        assert!(!failpoints.has_struck(&point) && failpoints.take(&other).is_none());
        assert_eq!(failpoints.take(&point).as_deref(), Some("lose"));
        assert!(failpoints.has_struck(&point) && failpoints.take(&point).is_none());
    }
}
