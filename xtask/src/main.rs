//! The tasks of the project: `cargo xtask <task>`.

#![expect(clippy::print_stderr, reason = "a task tells what it does")]

mod bench;
mod ci;
mod demo;
mod linker;
mod packages;
mod root;
mod setup;
mod test;
mod toolchain;
mod vm;

use std::env;
use std::process::ExitCode;

use anyhow::Result;
use xtask::command;

const USAGE: &str = "\
Usage: cargo xtask <task>

  setup          provide what building and testing need; instant when all is there
  test [ARGS]    run every test, also those that need root; ARGS go to `cargo test`
  bench [ARGS]   what a packet costs, above an empty program; `--json FILE` too
  bench swap     what an apply costs, and what traffic notices of it
  vm-test [--update] [SUITE...]
                 the tests under other kernels, those of Debian's suites, in QEMU
  demo           a router, four networks, one policy and real traffic, then all is gone
  ci             formatting, lints and file sizes, then every test
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    match dispatch(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(args: &[String]) -> Result<ExitCode> {
    let (task, rest) = args
        .split_first()
        .map_or(("", args), |(task, rest)| (task.as_str(), rest));
    match (task, rest) {
        ("demo", []) => demo::demo(),
        ("setup", []) => setup::setup().map(|_| ExitCode::SUCCESS),
        ("test", _) => test::test(rest),
        ("bench", _) => bench::bench(rest),
        ("ci", []) => ci::ci(),
        ("vm-test", _) => vm::vm_test(rest),
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::from(2))
        }
    }
}
