//! `enforcer boot`

use serde_json::json;

use crate::controller::{self, Booted, Instance};
use crate::kernel::in_one_line;

use super::exit::Exit;
use super::output;

/// Bring the last confirmed policy back after a reboot, before the network is
/// there.
///
/// Forwarding (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding) is off until the
/// policy is in force, and then what it was. If that fails, it stays off.
/// Interfaces that come later get their programs from `enforcer run`. Without any
/// policy applied before, the machine stays as it is.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sudo systemctl enable enforcer-boot.service
  sudo enforcer boot")]
pub struct Boot {
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Boot {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let booted = controller::boot(instance)?;
        for damaged in &booted.damaged {
            let why = in_one_line(damaged);
            output::complain(&format!("warning: a later policy does not count: {why}\n"));
        }
        if let Some(error) = &booted.not_closed {
            let why = in_one_line(error);
            output::complain(&format!(
                "warning: forwarding was not off until the policy was active: {why}\n"
            ));
        }
        if self.json {
            output::print_json(&json!({
                "policy": booted.policy.as_ref().map(|policy| json!({
                    "name": policy.policy,
                    "generation": policy.generation,
                    "interfaces": policy.interfaces,
                    "missing": policy.missing,
                    "was_active": policy.was_active,
                })),
                "forwarding_restored": booted.reopened,
            }))?;
        } else {
            output::print(&summary(&booted))?;
        }
        Ok(Exit::Success)
    }
}

fn summary(booted: &Booted) -> String {
    let mut text = match &booted.policy {
        None => "no policy was ever applied here: nothing is enforced\n".to_owned(),
        Some(policy) => {
            let place = match policy.interfaces.as_slice() {
                [] => "no interface".to_owned(),
                interfaces => interfaces.join(", "),
            };
            let is = if policy.was_active {
                "is active already"
            } else {
                "is active again"
            };
            format!(
                "policy `{}` {is} on {place} (generation {})\n",
                policy.policy, policy.generation
            )
        }
    };
    let missing = booted.policy.iter().flat_map(|policy| &policy.missing);
    let missing: Vec<_> = missing.map(String::as_str).collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        text.push_str(&format!(
            "not there yet, left to `enforcer run`: {missing}\n"
        ));
    }
    if booted.reopened {
        text.push_str("forwarding is as it was\n");
    }
    text
}
