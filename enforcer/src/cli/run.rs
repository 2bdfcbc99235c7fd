//! `enforcer run`

use crate::controller::Instance;
use crate::daemon;

use super::exit::Exit;
use super::output;

/// Follow interfaces and addresses, so that the active policy stays in force on
/// a machine that changes.
///
/// Attaches programs to interfaces that appear, and keeps the router's own
/// addresses in the policy. Runs until it is told to end; what is in force stays
/// so without it. Says each change in one line on standard error, and tells
/// systemd (Type=notify) when it is ready.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sudo systemctl enable --now enforcer.service
  sudo enforcer run")]
pub struct Run {}

impl Run {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        daemon::run(instance, |line| output::complain(&(line + "\n")))?;
        Ok(Exit::Success)
    }
}
