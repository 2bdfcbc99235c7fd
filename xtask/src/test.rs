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
    let mut words = vec!["test", "--workspace", "--no-fail-fast"];
    if args.is_empty() {
        // All but the examples in documentation, of which there are none: their
        // empty summaries would stand at the end.
        words.extend(["--lib", "--bins", "--tests"]);
    }
    run_as_root(&words, args)
}

/// Runs a cargo command whose programs need root; cargo itself runs as the
/// user who called.
pub fn run_as_root(words: &[&str], args: &[String]) -> Result<ExitCode> {
    let mut cargo = cargo(words);
    cargo.arg("--features=enforcer/root-tests");
    let runner = root::prefix(root::is_root());
    if !runner.is_empty() {
        // An array, because a `PATH` may hold spaces.
        cargo
            .arg("--config")
            .arg(format!("target.'cfg(all())'.runner={runner:?}"));
    }
    let status = cargo.args(args).env("PATH", command::path()).status();
    let status = status.context("cannot run cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
