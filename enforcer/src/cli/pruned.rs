//! `enforcer counters --prune`

use serde_json::json;

use crate::controller::{self, Instance, Pruned};

use super::counters::{conduit_records, drop_records};
use super::exit::Exit;
use super::output;

/// Removes the counters that the active policy has no use for, and says which.
pub fn prune(instance: &Instance, json: bool) -> anyhow::Result<Exit> {
    let pruned = controller::prune(instance)?;
    if json {
        output::print_json(&json!({
            "zones": pruned.zones,
            "conduits": conduit_records(&pruned.counters.conduits),
            "drops": drop_records(&pruned.counters.drops),
            "numbers_kept": pruned.kept,
        }))?;
    } else {
        output::print(&summary(&pruned))?;
    }
    Ok(Exit::Success)
}

fn summary(pruned: &Pruned) -> String {
    let mut text = String::new();
    for zone in &pruned.zones {
        text.push_str(&format!("removed zone {zone}\n"));
    }
    for count in &pruned.counters.conduits {
        text.push_str(&format!(
            "removed {}: {} packets, {} bytes\n",
            count.id, count.packets, count.bytes
        ));
    }
    for count in &pruned.counters.drops {
        text.push_str(&format!(
            "removed drops {} -> {}, {}: {} packets, {} bytes\n",
            count.from, count.to, count.reason, count.packets, count.bytes
        ));
    }
    if text.is_empty() {
        text.push_str(
            "nothing to remove: the active policy has every zone and conduit that counts\n",
        );
    }
    if !pruned.kept.is_empty() {
        let names = pruned.kept.join(", ");
        text.push_str(&format!(
            "flows still refer to {names}: their numbers are freed by a later --prune\n"
        ));
    }
    text
}
