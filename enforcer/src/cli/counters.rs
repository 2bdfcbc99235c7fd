//! `enforcer counters`

use serde_json::{Value, json};

use crate::controller::{self, Instance};

use super::exit::Exit;
use super::output::{self, Table};

/// Show what each conduit let pass, or what was dropped and why.
///
/// Counts go on across applies. A conduit counts answers too; bytes are those of
/// the Ethernet frames.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer counters
  sudo enforcer counters --drops
  sudo enforcer counters --json | jq '.drops[] | select(.reason == \"no-conduit\")'")]
pub struct Counters {
    /// Show drops by source zone, destination zone and reason.
    #[arg(long)]
    drops: bool,
    /// Print both as JSON.
    #[arg(long)]
    json: bool,
}

impl Counters {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        let counters = controller::counters(instance)?;
        if self.json {
            output::print_json(&record(&counters))?;
        } else if self.drops {
            output::print(&drops(&counters))?;
        } else {
            output::print(&conduits(&counters))?;
        }
        Ok(Exit::Success)
    }
}

fn conduits(counters: &controller::Counters) -> String {
    let mut table = Table::new(&["conduit", "packets", "bytes"]);
    for count in &counters.conduits {
        table.row([
            count.id.clone(),
            count.packets.to_string(),
            count.bytes.to_string(),
        ]);
    }
    table.render()
}

fn drops(counters: &controller::Counters) -> String {
    let mut table = Table::new(&["from", "to", "reason", "packets", "bytes"]);
    for count in &counters.drops {
        table.row([
            count.from.clone(),
            count.to.clone(),
            count.reason.clone(),
            count.packets.to_string(),
            count.bytes.to_string(),
        ]);
    }
    table.render()
}

fn record(counters: &controller::Counters) -> Value {
    let conduits = counters
        .conduits
        .iter()
        .map(|count| json!({ "id": count.id, "packets": count.packets, "bytes": count.bytes }));
    let drops = counters.drops.iter().map(|count| {
        json!({
            "from": count.from,
            "to": count.to,
            "reason": count.reason,
            "packets": count.packets,
            "bytes": count.bytes,
        })
    });
    json!({
        "conduits": conduits.collect::<Vec<_>>(),
        "drops": drops.collect::<Vec<_>>(),
    })
}
