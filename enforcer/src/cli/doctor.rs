//! `enforcer doctor`

use std::path::PathBuf;

use serde_json::json;

use crate::controller::Instance;
use crate::controller::doctor::{Finding, Level, gather, judge};
use crate::policy::{self, Source};

use super::exit::Exit;
use super::output;

/// Say what this machine can do for a policy, and what is in the way.
///
/// Only looks. With POLICY it says what is in the way of that policy, else of
/// the active one, or of any. Exit code 1 when something is in the way.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer doctor
  sudo enforcer doctor policy.yaml
  sudo enforcer doctor --json | jq '.[] | select(.level != \"ok\")'")]
pub struct Doctor {
    /// Policy file that is to be applied.
    policy: Option<PathBuf>,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let facts = match &self.policy {
            None => gather(instance, None),
            Some(path) => {
                let source = Source::read(path)?;
                match policy::parse(&source) {
                    Ok((policy, _)) => gather(instance, Some(&policy)),
                    Err(findings) => {
                        output::complain(&findings.render(&source));
                        return Ok(Exit::PolicyRejected);
                    }
                }
            }
        };
        let findings = judge(&facts);
        if self.json {
            let records = findings.iter().map(|finding| {
                json!({
                    "level": level(finding),
                    "about": finding.about,
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
    let Finding { about, found, .. } = finding;
    format!("{:<4}  {about}: {found}\n{remedy}", level(finding))
}

fn level(finding: &Finding) -> &'static str {
    match finding.level {
        Level::Good => "ok",
        Level::Warning => "warn",
        Level::Bad => "fail",
    }
}
