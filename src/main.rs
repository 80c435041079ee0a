//! The one binary: everything it can do is in [`eventix::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    eventix::cli::main()
}
