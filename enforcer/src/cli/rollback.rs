//! `enforcer rollback`

use serde_json::json;

use crate::controller::{self, Confirmed, ControllerError, Instance, RolledBack};

use super::apply::report;
use super::confirm::noted;
use super::exit::Exit;
use super::output;

/// Go back to the policy before.
///
/// While `apply --confirm` waits, that happens at once, and all is as it was.
/// Otherwise the policy that was active before is applied again.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  sudo enforcer rollback")]
pub struct Rollback {
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Rollback {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        match controller::rollback(instance) {
            Ok(RolledBack::Applied(applied, source)) => report(&applied, &source, self.json)?,
            Ok(RolledBack::TakenBack(now)) => self.tell("", now)?,
            Ok(RolledBack::Already(now)) => self.tell("the time was up already: ", now)?,
            Err(error @ ControllerError::Rejected(_)) => {
                output::complain(&format!("error: the policy before: {error}\n"));
                return Ok(Exit::PolicyRejected);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Exit::Success)
    }

    fn tell(&self, prefix: &str, now: Option<Confirmed>) -> anyhow::Result<()> {
        if self.json {
            return output::print_json(&json!({
                "generation": now.as_ref().map(|now| now.generation),
                "policy": now.as_ref().and_then(|now| now.policy.as_ref()),
            }));
        }
        let text = match now {
            None => "no policy is active, as before: the network is open".to_owned(),
            Some(now) => {
                output::complain(&noted(&now.damage));
                let name = now.policy.as_deref().unwrap_or("?");
                format!(
                    "policy `{name}` is active again (generation {})",
                    now.generation
                )
            }
        };
        output::print(&format!("{prefix}{text}\n"))
    }
}
