//! A program under test as a process: its output in a file, its signals, its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::{PATIENCE, eventually};

/// Between two looks at a process that is about to stop.
const LOOK: Duration = Duration::from_millis(1);

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program that writes to `log` whatever it says; what earlier lives of it said stays there.
    pub fn spawn(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log: log.to_owned() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("nobody has waited for it yet")
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it did not end within {PATIENCE:?}:\n{}", self.log())).unwrap()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.end().await;
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.end().await
    }

    /// SIGSTOP, and waits until no thread of it runs.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        while !all_threads_stopped(self.pid()) {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until a question has an answer; fails the test when the process ends before that.
    pub async fn until<T>(&mut self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        eventually(what, PATIENCE, async || {
            let ended = self.ended();
            assert!(ended.is_none(), "{what}: the process ended, {ended:?}:\n{}", self.log());
            ask().await
        })
        .await
    }
}

/// Whether every thread of a process is in state T: proc(5), `stat`, the field behind the name in parentheses.
fn all_threads_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let stat = |thread: std::io::Result<fs::DirEntry>| {
        fs::read_to_string(thread.unwrap().path().join("stat")).unwrap_or_default()
    };
    threads.map(stat).all(|stat| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T')))
}
