//! Numbers of zones and conduits: stable by name from one apply to the next,
//! so that counters and flows keep their meaning.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::cell::Slot;
use enforcer_common::essential::Essential;
use enforcer_common::zone::ZoneId;
use serde::{Deserialize, Serialize};

use super::modes;
use super::size::{MAX_SLOTS, MAX_ZONE_IDS, room_for};
use crate::policy::model::{Conduit, Zone};
use crate::policy::names::ConduitId;
use crate::policy::{Findings, Policy};

/// What follows an id in the name of the counter of what an audit let pass. No
/// id has such a character.
pub const AUDIT: &str = "!audit";

/// The number of every zone and conduit that was ever applied.
///
/// A name keeps its number, even while no policy has it; a new name takes the
/// lowest number that no name has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbering {
    /// Zone ids from [`ZoneId::FIRST`] on.
    zones: BTreeMap<String, u32>,
    /// Slots from [`Slot::FIRST`] on.
    conduits: BTreeMap<String, u32>,
}

/// Numbers that something refers to.
#[derive(Clone, Copy, Debug)]
pub struct InUse<'a> {
    /// Slots.
    pub slots: &'a BTreeSet<u32>,
    /// Zone ids.
    pub zones: &'a BTreeSet<u16>,
}

impl InUse<'static> {
    /// None.
    pub const NONE: Self = Self {
        slots: &BTreeSet::new(),
        zones: &BTreeSet::new(),
    };
}

impl Numbering {
    /// The numbering without the names that `policy` does not have and whose
    /// numbers nothing refers to.
    pub fn only(&self, policy: &Policy, in_use: InUse<'_>) -> Result<Self, Findings> {
        let needed = Self::default().with(policy)?;
        let mut numbers = self.clone();
        numbers.zones.retain(|name, number| {
            needed.zones.contains_key(name) || in_use.zones.contains(&(*number as u16))
        });
        numbers.conduits.retain(|name, number| {
            needed.conduits.contains_key(name) || in_use.slots.contains(number)
        });
        Ok(numbers)
    }

    /// Names of the zones that `other` has no number for.
    pub fn zones_beside(&self, other: &Self) -> Vec<String> {
        let names = self.zones.keys();
        let names = names.filter(|name| !other.zones.contains_key(*name));
        names.cloned().collect()
    }

    /// Names of the zones and conduits that `other` has no number for.
    pub fn names_beside(&self, other: &Self) -> Vec<String> {
        let conduits = self.conduits.keys();
        let conduits = conduits.filter(|name| !other.conduits.contains_key(*name));
        let mut names = self.zones_beside(other);
        names.extend(conduits.cloned());
        names
    }

    /// The numbering that names in the kernel tell of.
    ///
    /// What is no name that a policy can have is left out.
    pub fn recovered(zones: &BTreeMap<u16, String>, slots: &BTreeMap<u32, String>) -> Self {
        let zones = zones.iter().map(|(id, name)| (u32::from(*id), name));
        let slots = slots.iter().map(|(slot, name)| (*slot, name));
        Self {
            zones: named_from(u32::from(ZoneId::FIRST), zones),
            conduits: named_from(Slot::FIRST, slots),
        }
    }

    /// The numbering that has every name of `policy` too.
    ///
    /// New names are numbered in the order of the alphabet: where the file has
    /// them says nothing.
    pub(super) fn with(&self, policy: &Policy) -> Result<Self, Findings> {
        let mut numbers = self.clone();
        let zones = policy.zones.iter().map(|zone| zone.name.as_str());
        extend(&mut numbers.zones, u32::from(ZoneId::FIRST), zones);
        let mut conduits: Vec<String> = Vec::new();
        for conduit in &policy.conduits {
            conduits.push(conduit.id.to_string());
            if modes::can_be_audited(policy, conduit) {
                conduits.push(audit_name(conduit));
            }
        }
        let conduits = conduits.iter().map(String::as_str);
        extend(&mut numbers.conduits, Slot::FIRST, conduits);
        room_for(numbers.zone_ids() as usize, "zone numbers", MAX_ZONE_IDS)?;
        room_for(numbers.slots() as usize, "conduit counters", MAX_SLOTS)?;
        Ok(numbers)
    }

    /// The number of a zone of the policy that the numbering was made for.
    pub(super) fn zone(&self, zone: &Zone) -> ZoneId {
        ZoneId(self.zones[zone.name.as_str()] as u16)
    }

    /// The slot of a conduit of the policy that the numbering was made for.
    pub(super) fn slot(&self, conduit: &Conduit) -> Slot {
        Slot(self.conduits[conduit.id.as_str()])
    }

    /// The slot that counts what an audit lets pass of a conduit; its own where
    /// no audit can.
    pub(super) fn audit_slot(&self, conduit: &Conduit) -> Slot {
        let twin = self.conduits.get(&audit_name(conduit));
        twin.map_or_else(|| self.slot(conduit), |slot| Slot(*slot))
    }

    /// The highest zone id, and one.
    pub fn zone_ids(&self) -> u32 {
        end(&self.zones, u32::from(ZoneId::FIRST))
    }

    /// The highest slot, and one.
    pub fn slots(&self) -> u32 {
        end(&self.conduits, Slot::FIRST)
    }

    /// The name of every zone id that has one.
    pub(super) fn zone_names(&self) -> BTreeMap<u16, String> {
        let built_in = [(ZoneId::UNKNOWN, "unknown"), (ZoneId::SELF, "self")];
        let built_in = built_in.map(|(id, name)| (id.0, name.to_owned()));
        let zones = self
            .zones
            .iter()
            .map(|(name, id)| (*id as u16, name.clone()));
        built_in.into_iter().chain(zones).collect()
    }

    /// The name of every slot that has one; the first `failsafes` of the slots
    /// for failsafe entries do.
    pub(super) fn slot_names(&self, failsafes: usize) -> BTreeMap<u32, String> {
        let built_in = [
            (Slot::NO_CONDUIT.0, "(no-conduit)".to_owned()),
            (Slot::INTRA_ZONE.0, "(intra-zone)".to_owned()),
            (Slot::SELF_OUT.0, "(self-out)".to_owned()),
            (Slot::RELATED.0, "(related)".to_owned()),
            (Slot::NO_CONDUIT_AUDIT.0, format!("(no-conduit){AUDIT}")),
            (Slot::INTRA_ZONE_AUDIT.0, format!("(intra-zone){AUDIT}")),
            (Slot::SELF_OUT_AUDIT.0, format!("(self-out){AUDIT}")),
        ];
        let essential =
            Essential::ALL.map(|one| (one.slot().0, format!("(essential:{})", one.name())));
        let failsafe = (Slot::FAILSAFE.0..)
            .zip(0..failsafes)
            .map(|(slot, entry)| (slot, format!("(failsafe:{entry})")));
        let conduits = self
            .conduits
            .iter()
            .map(|(name, slot)| (*slot, name.clone()));
        built_in
            .into_iter()
            .chain(essential)
            .chain(failsafe)
            .chain(conduits)
            .collect()
    }
}

fn audit_name(conduit: &Conduit) -> String {
    format!("{}{AUDIT}", conduit.id)
}

fn extend<'n>(
    numbers: &mut BTreeMap<String, u32>,
    first: u32,
    names: impl Iterator<Item = &'n str>,
) {
    let new: BTreeSet<&str> = names.filter(|name| !numbers.contains_key(*name)).collect();
    let taken: BTreeSet<u32> = numbers.values().copied().collect();
    let free = (first..).filter(|number| !taken.contains(number));
    let new = new.into_iter().map(str::to_owned).zip(free);
    numbers.extend(new);
}

fn named_from<'n>(
    first: u32,
    names: impl Iterator<Item = (u32, &'n String)>,
) -> BTreeMap<String, u32> {
    let is_name = |name: &str| {
        let name = name.strip_suffix(AUDIT).unwrap_or(name);
        ConduitId::new(name).is_ok()
    };
    names
        .filter(|(number, name)| *number >= first && is_name(name))
        .map(|(number, name)| (name.clone(), number))
        .collect()
}

fn end(numbers: &BTreeMap<String, u32>, first: u32) -> u32 {
    numbers
        .values()
        .map(|number| number.saturating_add(1))
        .max()
        .unwrap_or(first)
}
