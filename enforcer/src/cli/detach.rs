//! `enforcer detach`

use anyhow::Context;
use serde_json::json;

use crate::controller::{self, Instance};

use super::exit::Exit;
use super::output;

/// Remove every program, map and pin: the network is open again.
///
/// Counters and flows are lost. Nothing happens when nothing is attached.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sudo enforcer detach")]
pub struct Detach {
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Detach {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let programs = controller::detach(instance)?;
        let printed = if self.json {
            output::print_json(&json!({ "detached_programs": programs }))
        } else {
            let text = match programs {
                0 => "nothing was attached\n".to_owned(),
                1 => "1 program detached: the network is open\n".to_owned(),
                count => format!("{count} programs detached: the network is open\n"),
            };
            output::print(&text)
        };
        printed.context("the network is open, but")?;
        Ok(Exit::Success)
    }
}
