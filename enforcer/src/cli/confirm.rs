//! `enforcer confirm`

use serde_json::json;

use crate::controller::{self, Instance};

use super::exit::Exit;
use super::output;

/// Let the policy stay that `apply --confirm` has put in force.
///
/// Fails when nothing waits to be confirmed, or when the time is up.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sudo enforcer confirm")]
pub struct Confirm {
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Confirm {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let confirmed = controller::confirm(instance)?;
        output::complain(&noted(&confirmed.damage));
        if self.json {
            output::print_json(&json!({
                "generation": confirmed.generation,
                "policy": confirmed.policy,
            }))?;
        } else {
            let name = confirmed.policy.as_deref().unwrap_or("?");
            let number = confirmed.generation;
            output::print(&format!("policy `{name}` stays (generation {number})\n"))?;
        }
        Ok(Exit::Success)
    }
}

/// What is to be said of a damaged state file.
pub fn noted(damage: &Option<String>) -> String {
    let line = |damage: &String| format!("note: {damage}\n");
    damage.as_ref().map(line).unwrap_or_default()
}
