//! `enforcer pickup`

use std::time::Duration;

use serde_json::json;

use crate::controller::{self, Instance};
use crate::policy::duration;

use super::exit::Exit;
use super::output;

/// The longest window: while it is open, an ACK scan finds what conduits allow.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Let TCP connections that no flow is known of go on, for a while.
///
/// They go on where a conduit allows them. Otherwise a TCP segment that opens
/// nothing and belongs to no flow is dropped. The first apply opens such a
/// window of 30 s by itself.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer pickup 30s            traffic has come over from another router
  sudo enforcer pickup 0s             end it now")]
pub struct Pickup {
    /// For how long, at most `1h`.
    #[arg(value_name = "DURATION", value_parser = window)]
    window: Duration,
    /// Print what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl Pickup {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        controller::pickup(instance, self.window)?;
        let text = duration::shown(self.window);
        if self.json {
            output::print_json(&json!({ "pickup_s": self.window.as_secs() }))?;
        } else if self.window.is_zero() {
            output::print("connections are picked up no more\n")?;
        } else {
            output::print(&format!(
                "connections that exist are picked up for {text}, where a conduit allows them\n"
            ))?;
        }
        Ok(Exit::Success)
    }
}

fn window(text: &str) -> Result<Duration, String> {
    match duration::parse(text) {
        Ok(window) if window <= LONGEST => Ok(window),
        Ok(_) => Err(format!("at most {}", duration::shown(LONGEST))),
        Err(error) => Err(error.to_string()),
    }
}
