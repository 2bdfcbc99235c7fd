//! `enforcer counters`

use std::time::Duration;

use enforcer_common::verdict::DropReason;
use serde_json::{Value, json};

use crate::controller::counters::Filter;
use crate::controller::{self, Instance};
use crate::kernel::counters::{ConduitCount, DropCount};

use super::exit::Exit;
use super::output::{self, Table};
use super::pruned::prune;
use super::time::rfc3339;
use super::watch;

/// Show what each conduit let pass, or what was dropped and why.
///
/// Counts go on across applies. A conduit counts answers too; bytes are those of
/// the Ethernet frames.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo enforcer counters
  sudo enforcer counters --drops
  sudo enforcer counters --from cameras --reason no-conduit
  sudo enforcer counters --watch
  sudo enforcer counters --prune
  sudo enforcer counters --json | jq '.drops[] | select(.reason == \"no-conduit\")'")]
pub struct Counters {
    /// Show drops by source zone, destination zone and reason.
    #[arg(long)]
    drops: bool,
    /// Only this conduit, or built-in rule; may be repeated.
    #[arg(long, value_name = "ID", conflicts_with_all = ["drops", "from", "to", "reason"])]
    conduit: Vec<String>,
    /// Only drops from this zone; may be repeated.
    #[arg(long, value_name = "ZONE")]
    from: Vec<String>,
    /// Only drops on the way to this zone; may be repeated.
    #[arg(long, value_name = "ZONE")]
    to: Vec<String>,
    /// Only drops for this reason; may be repeated.
    #[arg(long, value_name = "REASON", value_parser = reasons(), hide_possible_values = true)]
    reason: Vec<String>,
    /// Remove the counters of zones and conduits that the active policy does not
    /// have, and say which.
    #[arg(long, conflicts_with_all = ["drops", "conduit", "from", "to", "reason", "watch"])]
    prune: bool,
    /// Show them again every second, or every SECONDS: what moves comes first,
    /// with its rate. Not on a terminal: a line for each one that moved.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    watch: Option<u32>,
    /// Print both as JSON; with --watch, what moved, an object on each line.
    #[arg(long)]
    json: bool,
}

impl Counters {
    /// Runs the command.
    pub fn run(&self, instance: &Instance) -> anyhow::Result<Exit> {
        if self.prune {
            return prune(instance, self.json);
        }
        let filter = self.filter();
        if let Some(seconds) = self.watch {
            let watch = watch::Watch {
                every: Duration::from_secs(seconds.into()),
                shows_drops: self.shows_drops(),
                json: self.json,
            };
            return watch.run(|| Ok(controller::counters(instance, &filter)?));
        }
        let counters = controller::counters(instance, &filter)?;
        if self.json {
            output::print_json(&record(&counters))?;
        } else {
            let table = match self.shows_drops() {
                true => drops(&counters),
                false => conduits(&counters),
            };
            let began = counters
                .since
                .map(|since| format!("\nsince {}\n", rfc3339(since)));
            output::print(&(table + &began.unwrap_or_default()))?;
        }
        Ok(Exit::Success)
    }

    fn shows_drops(&self) -> bool {
        let filters = [&self.from, &self.to, &self.reason];
        self.drops || filters.iter().any(|names| !names.is_empty())
    }

    fn filter(&self) -> Filter {
        Filter {
            conduits: self.conduit.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            reasons: self.reason.clone(),
        }
    }
}

fn reasons() -> clap::builder::PossibleValuesParser {
    let names = DropReason::ALL.iter().map(|reason| reason.name());
    clap::builder::PossibleValuesParser::new(names)
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
    json!({
        "since": counters.since.map(rfc3339),
        "conduits": conduit_records(&counters.conduits),
        "drops": drop_records(&counters.drops),
    })
}

/// Counts of conduits as JSON.
pub fn conduit_records(counts: &[ConduitCount]) -> Value {
    let records = counts
        .iter()
        .map(|count| json!({ "id": count.id, "packets": count.packets, "bytes": count.bytes }));
    records.collect()
}

/// Counts of drops as JSON.
pub fn drop_records(counts: &[DropCount]) -> Value {
    let records = counts.iter().map(|count| {
        json!({
            "from": count.from,
            "to": count.to,
            "reason": count.reason,
            "packets": count.packets,
            "bytes": count.bytes,
        })
    });
    records.collect()
}
