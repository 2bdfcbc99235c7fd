//! The command `enforcer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    enforcer::cli::run()
}
