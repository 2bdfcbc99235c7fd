//! Takes counts from the maps of one set to those of another, and loses none.
//!
//! What the old maps hold is copied before any program counts in the new ones.
//! What they count from then until the last old program has ended is added
//! afterwards, by a program: the new maps count already, and the kernel alone
//! can add to a cell that counts.

use std::collections::BTreeMap;

use enforcer_common::counter::Addition;

use super::error::KernelError;
use super::maps::Maps;
use super::object::Object;
use super::sys;

/// Packets and bytes, by the index of the cell that takes them over.
pub(super) type Tally = BTreeMap<u32, (u64, u64)>;

/// What was copied; the rest is the difference to what is there later.
#[must_use]
pub struct Carried {
    /// `None` where both sets share the map.
    conduits: Option<Tally>,
    drops: Option<Tally>,
    zones: BTreeMap<u16, String>,
}

/// Copies all counts to maps that no program uses yet; drops, those between
/// `zones`.
pub(super) fn copy(
    from: &Maps,
    to: &Maps,
    zones: &BTreeMap<u16, String>,
) -> Result<Carried, KernelError> {
    let mut carried = Carried {
        conduits: None,
        drops: None,
        zones: zones.clone(),
    };
    if from.capacity().slots != to.capacity().slots {
        carried.conduits = Some(to.conduits.copy_from(&from.conduits)?);
        to.copy_rates(from);
    }
    let (table, old_table) = (to.control().drops, from.control().drops);
    if table != old_table {
        let old = (&from.drops, &old_table);
        carried.drops = Some(to.drops.copy_from(&table, old, zones)?);
    }
    Ok(carried)
}

/// Adds what the old maps have counted since the copy, once no link leads to an
/// old program any more. `object` is the one that the new maps belong to.
pub(super) fn add_rest(
    from: &Maps,
    to: &Maps,
    carried: &Carried,
    object: &mut Object,
) -> Result<(), KernelError> {
    if carried.conduits.is_none() && carried.drops.is_none() {
        return Ok(());
    }
    let waited = sys::grace_period();
    waited.map_err(|source| KernelError::System("wait for running programs", source))?;
    let mut rest = Vec::new();
    if let Some(copied) = &carried.conduits {
        let now = from.conduits.tally()?;
        rest.extend(additions(Addition::CONDUITS, copied, &now));
    }
    if let Some(copied) = &carried.drops {
        let (table, old_table) = (to.control().drops, from.control().drops);
        let now = from.drops.tally(&old_table, &table, &carried.zones)?;
        rest.extend(additions(Addition::DROPS, copied, &now));
    }
    object.add(&rest)
}

fn additions(map: u32, copied: &Tally, now: &Tally) -> Vec<Addition> {
    let added = now.iter().map(|(index, (packets, bytes))| {
        let (old_packets, old_bytes) = copied.get(index).copied().unwrap_or_default();
        Addition {
            map,
            index: *index,
            packets: packets.wrapping_sub(old_packets),
            bytes: bytes.wrapping_sub(old_bytes),
        }
    });
    added
        .filter(|addition| (addition.packets, addition.bytes) != (0, 0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_later_is_added() {
        let copied = Tally::from([(3, (5, 500)), (4, (1, 60))]);
        let now = Tally::from([(3, (7, 700)), (4, (1, 60)), (9, (2, 120))]);
        let want = [(3, 2, 200), (9, 2, 120)].map(|(index, packets, bytes)| Addition {
            map: Addition::DROPS,
            index,
            packets,
            bytes,
        });
        assert_eq!(additions(Addition::DROPS, &copied, &now), want);
    }
}
