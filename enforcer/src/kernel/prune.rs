//! Forgets counters whose names no policy has any more.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::{HashMap, Map, MapData};
use enforcer_common::control::DropTable;
use enforcer_common::counter::{ConduitCell, DropCell};
use enforcer_common::flow::{Flow, FlowKey};

use super::counters::{ConduitCount, ConduitCounters, DropCount, DropCounters, labels, name_of};
use super::error::KernelError;
use super::set::Set;
use super::shape::Shape;
use super::sys;

/// Numbers that something in the kernel refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Slots of conduits and built-in rules.
    pub slots: BTreeSet<u32>,
    /// Zone ids.
    pub zones: BTreeSet<u16>,
}

/// Counters that were removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// By conduit, also those that had counted nothing.
    pub conduits: Vec<ConduitCount>,
    /// By zones and reason, those that had counted something.
    pub drops: Vec<DropCount>,
}

impl Set {
    /// The numbers that flows refer to, those apart that are over.
    pub fn references(&self) -> Result<References, KernelError> {
        let control = self.maps.control();
        let idle = control.slots[(control.active & 1) as usize].idle;
        let now = self.now_ticks()? as u32;
        let mut found = References::default();
        for (shape, is_established) in [(Shape::FLOWS, true), (Shape::FLOWS_NEW, false)] {
            let failed = |source: aya::maps::MapError| KernelError::OpenMap {
                map: shape.name,
                source: Box::new(source),
            };
            let flows: MapData = shape.open(self.folder())?;
            let flows: HashMap<MapData, FlowKey, Flow> =
                Map::LruHashMap(flows).try_into().map_err(failed)?;
            for flow in flows.iter() {
                let (key, flow) = flow.map_err(failed)?;
                if flow.is_over(key.protocol, is_established, (now, &idle)) {
                    continue;
                }
                found.slots.insert(flow.cell.slot().0);
                found.zones.extend([flow.from.0, flow.to.0]);
            }
        }
        Ok(found)
    }

    /// The numbers that flows refer to, or under which something was counted,
    /// also by programs that began under the policy before.
    pub fn in_use(&self) -> Result<References, KernelError> {
        grace_period()?;
        let mut found = self.references()?;
        let slots = self.maps.conduits.tally()?.into_iter();
        let counted = slots.filter(|(_, count)| *count != (0, 0));
        found.slots.extend(counted.map(|(slot, _)| slot));
        let names = self.maps.names()?.zones;
        let zones = names.iter().map(|(id, name)| (name.as_str(), *id));
        let zones: BTreeMap<&str, u16> = zones.collect();
        for DropCount { from, to, .. } in self.maps.drops.read()? {
            let ids = [from, to].map(|name| zones.get(name.as_str()).copied());
            found.zones.extend(ids.into_iter().flatten());
        }
        Ok(found)
    }

    /// Removes the counters of all but these zones and slots.
    ///
    /// No policy that may become active again without being staged may count in
    /// what is removed.
    pub fn remove_counters(
        &self,
        zones: &BTreeMap<u16, String>,
        slots: &BTreeMap<u32, String>,
    ) -> Result<Removed, KernelError> {
        // Programs that began under the policy before may still count.
        grace_period()?;
        let table = self.maps.control().drops;
        Ok(Removed {
            conduits: self.maps.conduits.retain(slots)?,
            drops: self.maps.drops.retain(&table, zones)?,
        })
    }
}

fn grace_period() -> Result<(), KernelError> {
    let waited = sys::grace_period();
    waited.map_err(|source| KernelError::System("wait for running programs", source))
}

impl ConduitCounters {
    /// Clears every cell whose name is not that of its slot.
    fn retain(&self, slots: &BTreeMap<u32, String>) -> Result<Vec<ConduitCount>, KernelError> {
        let mut cleared = BTreeMap::new();
        let mut counts = Vec::new();
        self.0.visit(|slot, cells| {
            let wanted = slots.get(&slot).map(|name| name_of(name));
            if cells[0].conduit != [0; 32] && wanted != Some(cells[0].conduit) {
                counts.push(ConduitCount::of(cells));
                cleared.insert(slot, vec![EMPTY_CONDUIT; cells.len()]);
            }
        })?;
        self.0.write(&cleared)?;
        Ok(counts)
    }
}

impl DropCounters {
    /// Clears every cell whose names are not those of its zones.
    fn retain(
        &self,
        table: &DropTable,
        zones: &BTreeMap<u16, String>,
    ) -> Result<Vec<DropCount>, KernelError> {
        let labels = labels(table, zones);
        let mut cleared = BTreeMap::new();
        let mut counts = Vec::new();
        self.0.visit(|index, cells| {
            let names = |cell: &DropCell| (cell.from, cell.to, cell.reason);
            let wanted = labels.get(&index).map(names);
            if cells[0].from != [0; 32] && wanted != Some(names(&cells[0])) {
                counts.push(DropCount::of(cells));
                cleared.insert(index, vec![EMPTY_DROP; cells.len()]);
            }
        })?;
        self.0.write(&cleared)?;
        counts.retain(|count| count.packets != 0);
        Ok(counts)
    }
}

const EMPTY_CONDUIT: ConduitCell = ConduitCell {
    conduit: [0; 32],
    packets: 0,
    bytes: 0,
};

const EMPTY_DROP: DropCell = DropCell {
    from: [0; 32],
    to: [0; 32],
    reason: [0; 32],
    packets: 0,
    bytes: 0,
};
