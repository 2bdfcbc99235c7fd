//! `cargo xtask test`: every test, those that need root too.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::command::{self, cargo};
use crate::root;
use crate::setup::setup;

/// Runs every test; `args` go to `cargo test`.
///
/// Prints nothing after the tests: their summary is the end of the output.
pub fn test(args: &[String]) -> Result<ExitCode> {
    setup()?;
    run(args)
}

/// Builds as the user who called, and runs the test programs as root.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let features = "--features=enforcer/root-tests";
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast", features]);
    let runner = root::prefix(root::is_root());
    if !runner.is_empty() {
        // An array, because a `PATH` may hold spaces.
        tests
            .arg("--config")
            .arg(format!("target.'cfg(all())'.runner={runner:?}"));
    }
    let status = tests
        .args(args)
        .env("PATH", command::path())
        .status()
        .context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
