//! The command line: arguments in, text or JSON out, an exit code.
//!
//! A subcommand reads, calls the library, prints, chooses the exit code.

mod apply;
mod boot;
mod check;
mod completions;
mod confirm;
mod counters;
mod detach;
mod doctor;
mod events;
mod exit;
mod explain;
mod output;
mod pickup;
mod pruned;
mod rollback;
mod run;
mod status;
mod time;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::controller::Instance;

/// Network segmentation by eBPF: judges every packet between zones by one
/// policy file.
#[derive(Parser)]
#[command(
    name = "enforcer",
    version,
    about,
    after_help = "\
Exit codes: 0 done, 1 failed, 2 policy rejected.

A first session:
  enforcer check policy.yaml          is the policy right? (no root needed)
  enforcer doctor                     can this machine enforce it?
  sudo enforcer apply policy.yaml     enforce it
  sudo enforcer counters --drops      who was dropped, and why
  sudo enforcer detach                open the network again"
)]
struct Cli {
    /// Use DIR/bpf (a BPF file system), DIR/state and DIR/lock instead of the
    /// places of this machine.
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Apply(apply::Apply),
    Confirm(confirm::Confirm),
    Rollback(rollback::Rollback),
    Status(status::Status),
    Counters(counters::Counters),
    Events(events::Events),
    Explain(explain::Explain),
    Detach(detach::Detach),
    Doctor(doctor::Doctor),
    Pickup(pickup::Pickup),
    Boot(boot::Boot),
    Run(run::Run),
    Completions(completions::Completions),
}

/// Runs the command that the arguments of this process name.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(shown) => return exit::usage(&shown),
    };
    let instance = match &cli.root {
        None => Instance::system(),
        Some(root) => Instance::under(root),
    };
    let done = match cli.command {
        Command::Check(check) => check.run(),
        Command::Apply(apply) => apply.run(&instance),
        Command::Confirm(confirm) => confirm.run(&instance),
        Command::Rollback(rollback) => rollback.run(&instance),
        Command::Status(status) => status.run(&instance),
        Command::Counters(counters) => counters.run(&instance),
        Command::Events(events) => events.run(&instance),
        Command::Explain(explain) => explain.run(&instance),
        Command::Detach(detach) => detach.run(&instance),
        Command::Doctor(doctor) => doctor.run(&instance),
        Command::Pickup(pickup) => pickup.run(&instance),
        Command::Boot(boot) => boot.run(&instance),
        Command::Run(run) => run.run(&instance),
        Command::Completions(completions) => completions.run(),
    };
    exit::code(done)
}
