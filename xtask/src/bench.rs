//! `cargo xtask bench`: what a packet costs, and what an apply does.

use std::process::ExitCode;

use anyhow::Result;

use crate::setup::setup;
use crate::test;

/// Runs a benchmark: `swap` what an apply costs, else what a packet costs.
///
/// `args` go to it: `--json FILE` writes the figures of packets.
pub fn bench(args: &[String]) -> Result<ExitCode> {
    setup()?;
    let (name, args) = match args.split_first() {
        Some((first, rest)) if first == "swap" => ("swap", rest),
        _ => ("datapath", args),
    };
    let args: Vec<String> = std::iter::once("--".to_owned())
        .chain(args.iter().cloned())
        .collect();
    test::run_as_root(&["bench", "--package", "enforcer", "--bench", name], &args)
}
