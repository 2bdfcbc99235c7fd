//! Forgets the zones and conduits that only earlier policies had.

use crate::compile::compile;
use crate::compile::numbering::InUse;
use crate::kernel::counters::ConduitCount;
use crate::kernel::prune::Removed;

use super::error::ControllerError;
use super::grow::reparsed;
use super::instance::Instance;
use super::lock::Lock;
use super::programs;
use super::settle::settle;
use super::store::Standing;

/// What was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The counters that were removed.
    pub counters: Removed,
    /// Names of the zones that are gone.
    pub zones: Vec<String>,
    /// Zones and conduits whose counters are removed too, but whose numbers
    /// flows still refer to.
    pub kept: Vec<String>,
}

/// Removes the counters of every zone and conduit that the active policy does
/// not have, and frees their numbers, except those that flows refer to.
pub fn prune(instance: &Instance) -> Result<Pruned, ControllerError> {
    programs::check_privileges("removing counters")?;
    instance.pins.check()?;
    let _lock = Lock::take(&instance.lock)?;
    let active = settle(instance)?.ok_or(ControllerError::NothingActive)?;
    if active.waiting.is_some() {
        // The policy before may come back, with its numbers.
        let generation = active.generation;
        return Err(ControllerError::Unconfirmed { generation });
    }
    let mut record = active.record?;
    let (_, policy) = reparsed(&record)?;
    let unneeded = |source| ControllerError::StoredRejected {
        path: record.policy.path.clone(),
        findings: source,
    };
    let references = active.set.references()?;
    let in_use = InUse {
        slots: &references.slots,
        zones: &references.zones,
    };
    let needed = record
        .numbering
        .only(&policy, InUse::NONE)
        .map_err(unneeded)?;
    let numbering = record.numbering.only(&policy, in_use).map_err(unneeded)?;
    let image = compile(&policy, &record.machine, &mut needed.clone()).map_err(unneeded)?;

    // The counters first: a number that is free must not have a count.
    let mut counters = active.set.remove_counters(&image.zones, &image.slots)?;
    let zones = record.numbering.zones_beside(&numbering);
    let kept = numbering.names_beside(&needed);
    // An apply gives numbers that are kept a counter again.
    let is_news = |count: &ConduitCount| count.packets != 0 || !kept.contains(&count.id);
    counters.conduits.retain(is_news);
    if numbering != record.numbering {
        record.numbering = numbering;
        instance.store.write(&record, Standing::Confirmed)?;
    }
    Ok(Pruned {
        counters,
        zones,
        kept,
    })
}
