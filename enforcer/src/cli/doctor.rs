//! `enforcer doctor`

use serde_json::json;

use crate::controller::Instance;
use crate::controller::doctor::{Finding, Level, doctor};

use super::exit::Exit;
use super::output;

/// Say what this machine can do for a policy, and what is in the way.
///
/// Only looks. Exit code 1 when something is in the way.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer doctor
  sudo enforcer doctor --json | jq '.[] | select(.level != \"ok\")'")]
pub struct Doctor {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let findings = doctor(instance);
        if self.json {
            let records = findings.iter().map(|finding| {
                json!({
                    "level": level(finding),
                    "found": finding.found,
                    "remedy": finding.remedy,
                })
            });
            output::print_json(&records.collect::<Vec<_>>())?;
        } else {
            output::print(&findings.iter().map(line).collect::<String>())?;
        }
        match findings.iter().any(|finding| finding.level == Level::Bad) {
            true => Ok(Exit::Failure),
            false => Ok(Exit::Success),
        }
    }
}

fn line(finding: &Finding) -> String {
    let remedy = finding.remedy.as_ref();
    let remedy = remedy.map_or_else(String::new, |remedy| format!("      {remedy}\n"));
    format!("{:<4}  {}\n{remedy}", level(finding), finding.found)
}

fn level(finding: &Finding) -> &'static str {
    match finding.level {
        Level::Good => "ok",
        Level::Warning => "warn",
        Level::Bad => "fail",
    }
}
