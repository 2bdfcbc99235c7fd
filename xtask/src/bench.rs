//! `cargo xtask bench`: what a packet costs.

use std::process::ExitCode;

use anyhow::Result;

use crate::setup::setup;
use crate::test;

/// Runs the benchmark; `args` go to it: `--json FILE` writes the figures.
pub fn bench(args: &[String]) -> Result<ExitCode> {
    setup()?;
    let args: Vec<String> = std::iter::once("--".to_owned())
        .chain(args.iter().cloned())
        .collect();
    test::run_as_root(
        &["bench", "--package", "enforcer", "--bench", "datapath"],
        &args,
    )
}
