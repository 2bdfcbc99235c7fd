//! `enforcer apply`

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use serde_json::json;

use crate::controller::{self, Applied, ApplyOptions, ControllerError, Instance};
use crate::policy::{Source, duration};

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
  sudo enforcer apply --confirm 60s policy.yaml    back as it was in a minute ...
  sudo enforcer confirm                            ... unless you can say this
  sudo enforcer apply --json policy.yaml | jq .generation")]
pub struct Apply {
    /// Policy file.
    policy: PathBuf,
    /// Go back to what is in force now unless `enforcer confirm` comes within
    /// this time (30s, 5min, 1h). The kernel keeps the deadline: it holds even if
    /// everything else is dead.
    #[arg(long, value_name = "TIME", value_parser = confirmable)]
    confirm: Option<Duration>,
    /// Drop nothing: count what would be dropped, under the reason `audit`.
    #[arg(long)]
    audit: bool,
    /// Accept names of interfaces that do not exist yet. `enforcer run` attaches
    /// programs when they appear; until then nothing arrives on them.
    #[arg(long)]
    allow_missing: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Apply {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let source = Source::read(&self.policy)?;
        let options = ApplyOptions {
            audit: self.audit,
            confirm: self.confirm,
            allow_missing: self.allow_missing,
        };
        let applied = match controller::apply(instance, &source, &options) {
            Ok(applied) => applied,
            Err(ControllerError::Rejected(findings)) => {
                output::complain(&findings.render(&source));
                return Ok(Exit::PolicyRejected);
            }
            Err(error) => return Err(error.into()),
        };
        let printed = report(&applied, &source, self.json);
        printed.with_context(|| format!("policy `{}` is active, but", applied.policy))?;
        Ok(Exit::Success)
    }
}

/// Prints what an apply did.
pub fn report(applied: &Applied, source: &Source, json: bool) -> anyhow::Result<()> {
    output::complain(&applied.warnings.render(source));
    for note in &applied.notes {
        output::complain(&format!("note: {note}\n"));
    }
    if !json {
        return output::print(&summary(applied));
    }
    output::print_json(&json!({
        "generation": applied.generation,
        "policy": applied.policy,
        "interfaces": applied.interfaces,
        "attached": applied.attached,
        "detached": applied.detached,
        "confirm_within_s": applied.confirm.map(|time| time.as_secs()),
        "warnings": applied.warnings.to_json(source),
        "notes": applied.notes,
    }))
}

/// A time in which somebody can confirm.
fn confirmable(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(Duration::ZERO) => Err("nobody can confirm in no time".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
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
    if let Some(time) = applied.confirm {
        text.push_str(&format!(
            "within {} run `enforcer confirm`; without, all is as before again\n",
            duration::shown(time)
        ));
    }
    text
}
