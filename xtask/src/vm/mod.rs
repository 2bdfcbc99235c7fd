//! `cargo xtask vm-test`: the programs and their tests under other kernels.
//!
//! Each kernel of Debian runs in a virtual machine of its own, from a file
//! system in memory that holds `enforcer`, the tests and what they call.
//! Everything lies below `target/vm`; the machine is left as it is.

#![expect(clippy::print_stdout, reason = "the task is what it prints")]

mod apt;
mod boot;
mod budget;
mod cpio;
mod guest;
mod kernel;
mod report;
mod steps;
mod tools;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use anyhow::{Result, bail, ensure};

use self::budget::Budget;
use self::guest::Guest;
use self::kernel::Kernel;
use self::report::{Outcome, Report};
use self::tools::Tools;
use crate::command::workspace;
use crate::setup::setup;

/// One kernel that is too old, and those of the suites that routers run.
const SUITES: [&str; 4] = ["bullseye", "bookworm", "trixie", "sid"];

/// The oldest kernel that the programs are made for.
const OLDEST: (u32, u32) = (5, 15);

/// A machine emulates two guests at a time without slowing either down much.
const GUESTS_AT_ONCE: usize = 2;

const UPDATE: &str = "--update";

/// Tests under the kernels of the suites that `args` name, or of all.
pub fn vm_test(args: &[String]) -> Result<ExitCode> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the guests are made for x86-64"
    );
    let (options, suites): (Vec<_>, Vec<_>) = args.iter().partition(|arg| arg.starts_with('-'));
    if let Some(other) = options.iter().find(|option| **option != UPDATE) {
        bail!("`{other}` is no option of vm-test: SUITE… and {UPDATE}");
    }
    let suites = match suites.is_empty() {
        true => SUITES.map(str::to_owned).to_vec(),
        false => suites.into_iter().cloned().collect(),
    };
    setup()?;
    let folder = workspace().join("target/vm");
    fs::create_dir_all(&folder)?;
    let tools = Tools::provide(&folder)?;
    let lab = Lab {
        guest: Guest::build(&tools)?,
        tools,
        folder,
    };
    let results = lab.run(&suites);
    let mut budget = Budget::read()?;
    let mut all = Vec::new();
    let mut untested = 0;
    for (suite, result) in suites.iter().zip(results) {
        let tested = match result {
            Ok(tested) => tested,
            Err(error) => {
                println!("\n{suite}:\n  FAILED cannot be tested: {error:#}");
                untested += 1;
                continue;
            }
        };
        if !options.is_empty() && !tested.report.counts.is_empty() {
            budget.update(tested.series, &tested.report.counts);
        }
        all.extend(tested.show(suite, &budget));
    }
    if !options.is_empty() {
        budget.write()?;
    }
    let passed = all.iter().filter(|outcome| outcome.is_passed).count();
    let failed = all.len() - passed + untested;
    println!("\n{passed} passed, {failed} failed");
    Ok(match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What all guests share.
struct Lab {
    guest: Guest,
    tools: Tools,
    folder: PathBuf,
}

/// What came of one kernel.
struct Tested {
    release: String,
    series: (u32, u32),
    report: Report,
    transcript: PathBuf,
}

impl Lab {
    /// Tests every suite, a few at a time.
    fn run(&self, suites: &[String]) -> Vec<Result<Tested>> {
        let next = Mutex::new(suites.iter().enumerate());
        let done = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..GUESTS_AT_ONCE.min(suites.len()) {
                scope.spawn(|| {
                    let take = || next.lock().expect("nobody panics with it").next();
                    while let Some((index, suite)) = take() {
                        let tested = self.test(suite);
                        let mut done = done.lock().expect("nobody panics with it");
                        done.push((index, tested));
                    }
                });
            }
        });
        let mut done = done.into_inner().expect("nobody panicked with it");
        done.sort_by_key(|(index, _)| *index);
        done.into_iter().map(|(_, tested)| tested).collect()
    }

    fn test(&self, suite: &str) -> Result<Tested> {
        let kernel = Kernel::fetch(suite, &self.folder)?;
        let series = kernel.series()?;
        let steps = steps::steps(series >= OLDEST);
        let archive = self.folder.join(format!("{suite}.cpio"));
        fs::write(&archive, self.guest.archive(&kernel, &steps)?)?;
        eprintln!("{suite}: booting Linux {}", kernel.release);
        let transcript = self.folder.join(format!("{suite}.log"));
        let mut log = File::create(&transcript)?;
        let lines = boot::boot(&self.tools, &kernel.image()?, &archive, |line| {
            if let Some(step) = line.strip_prefix("@@ step ") {
                eprintln!("{suite}: {step}");
            }
            writeln!(log, "{line}")
        })?;
        Ok(Tested {
            release: kernel.release,
            series,
            report: Report::read(&lines, steps.iter().map(|step| step.name)),
            transcript,
        })
    }
}

impl Tested {
    /// Prints what came of it.
    fn show(&self, suite: &str, budget: &Budget) -> Vec<Outcome> {
        println!("\n{suite}: Linux {}", self.release);
        let mut outcomes = self.report.outcomes.clone();
        outcomes.extend(budget.judge(self.series, &self.report.counts));
        for Outcome { name, is_passed } in &outcomes {
            let mark = if *is_passed { "ok    " } else { "FAILED" };
            println!("  {mark} {name}");
        }
        if outcomes.iter().any(|outcome| !outcome.is_passed) {
            println!(
                "  all that the guest printed: {}",
                self.transcript.display()
            );
        }
        outcomes
    }
}
