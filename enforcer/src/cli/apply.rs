//! `enforcer apply`

use std::path::PathBuf;

use serde_json::json;

use crate::controller::{self, Applied, ControllerError, Instance};
use crate::policy::Source;

use super::exit::Exit;
use super::output;

/// Enforce a policy, in place of the one before.
///
/// The new policy is written beside the active one and made active by one store:
/// every packet is judged by the old policy or by the new one. If anything fails
/// before, nothing changes.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer apply /etc/enforcer/policy.yaml
  sudo enforcer apply --json policy.yaml | jq .generation")]
pub struct Apply {
    /// Policy file.
    policy: PathBuf,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Apply {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let source = Source::read(&self.policy)?;
        let applied = match controller::apply(instance, &source) {
            Ok(applied) => applied,
            Err(ControllerError::Rejected(findings)) => {
                output::complain(&findings.render(&source));
                return Ok(Exit::PolicyRejected);
            }
            Err(error) => return Err(error.into()),
        };
        output::complain(&applied.warnings.render(&source));
        if self.json {
            output::print_json(&json!({
                "generation": applied.generation,
                "policy": applied.policy,
                "interfaces": applied.interfaces,
                "attached": applied.attached,
                "detached": applied.detached,
                "warnings": applied.warnings.to_json(&source),
            }))?;
        } else {
            output::print(&summary(&applied))?;
        }
        Ok(Exit::Success)
    }
}

fn summary(applied: &Applied) -> String {
    let place = match applied.interfaces.as_slice() {
        [] => "no interface".to_owned(),
        interfaces => interfaces.join(", "),
    };
    let mut text = format!(
        "policy `{}` is active on {place} (generation {})\n",
        applied.policy, applied.generation
    );
    let changes = [
        ("programs attached to", &applied.attached),
        ("programs removed from", &applied.detached),
    ];
    for (what, interfaces) in changes {
        if !interfaces.is_empty() {
            text.push_str(&format!("{what} {}\n", interfaces.join(", ")));
        }
    }
    text
}
