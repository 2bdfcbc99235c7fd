//! The counter maps: names written into the cells, counts read from them.

use std::collections::BTreeMap;

use aya::maps::MapData;
use enforcer_common::control::DropTable;
use enforcer_common::counter::{ConduitCell, DropCell, Name, pair_reasons, single_reasons};
use enforcer_common::verdict::DropReason;
use enforcer_common::zone::ZoneId;

use super::carry::Tally;
use super::cells::Cells;
use super::error::KernelError;
use super::shape::Shape;

/// What one conduit, or one built-in rule, let pass or dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConduitCount {
    /// Id of the conduit, or a reserved id in parentheses.
    pub id: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, layer-2 length.
    pub bytes: u64,
}

/// What was dropped between two zones for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropCount {
    /// Source zone.
    pub from: String,
    /// Destination zone; `-` when it was not known yet, `*` for any.
    pub to: String,
    /// Name of the drop reason.
    pub reason: String,
    /// Packets.
    pub packets: u64,
    /// Bytes, layer-2 length.
    pub bytes: u64,
}

/// What each conduit decided.
pub struct ConduitCounters(pub(super) Cells<ConduitCell>);

/// What was dropped, by zones and reason.
pub struct DropCounters(pub(super) Cells<DropCell>);

impl ConduitCount {
    /// What a cell has counted on all CPUs.
    pub(super) fn of(cells: &[ConduitCell]) -> Self {
        let (packets, bytes) = sum(cells);
        Self {
            id: text_of(&cells[0].conduit),
            packets,
            bytes,
        }
    }
}

impl DropCount {
    /// What a cell has counted on all CPUs.
    pub(super) fn of(cells: &[DropCell]) -> Self {
        let (packets, bytes) = sum(cells);
        Self {
            from: text_of(&cells[0].from),
            to: text_of(&cells[0].to),
            reason: text_of(&cells[0].reason),
            packets,
            bytes,
        }
    }
}

impl ConduitCounters {
    /// Takes over a map of [`Shape::CONDUITS`].
    pub(super) fn of(map: MapData) -> Result<Self, KernelError> {
        Cells::of(map, Shape::CONDUITS).map(Self)
    }

    /// Number of slots.
    pub fn slots(&self) -> u32 {
        self.0.len()
    }

    /// Gives every slot its name; counts under the same name stay.
    pub fn label(&self, slots: &BTreeMap<u32, String>) -> Result<(), KernelError> {
        let labelled = slots.iter().map(|(slot, name)| {
            let cell = ConduitCell {
                conduit: name_of(name),
                packets: 0,
                bytes: 0,
            };
            (*slot, cell)
        });
        let is_same = |a: &ConduitCell, b: &ConduitCell| a.conduit == b.conduit;
        self.0.label(labelled.collect(), is_same)
    }

    /// The counts that are not zero, all CPUs added up.
    pub fn read(&self) -> Result<Vec<ConduitCount>, KernelError> {
        let mut counts = Vec::new();
        self.0.visit(|_, cells| {
            let count = ConduitCount::of(cells);
            if count.packets != 0 {
                counts.push(count);
            }
        })?;
        Ok(counts)
    }

    /// Takes over what another map has counted in slots that this one has too,
    /// and tells how much that is.
    pub(super) fn copy_from(&self, other: &Self) -> Result<Tally, KernelError> {
        let mut copied = BTreeMap::new();
        other.0.visit(|slot, cells| {
            if cells[0].conduit != [0; 32] && slot < self.slots() {
                copied.insert(slot, cells.to_vec());
            }
        })?;
        self.0.write(&copied)?;
        Ok(copied
            .iter()
            .map(|(slot, cells)| (*slot, sum(cells)))
            .collect())
    }

    /// The name of every slot that has one.
    pub(super) fn names(&self) -> Result<BTreeMap<u32, String>, KernelError> {
        let mut names = BTreeMap::new();
        self.0.visit(|slot, cells| {
            if cells[0].conduit != [0; 32] {
                names.insert(slot, text_of(&cells[0].conduit));
            }
        })?;
        Ok(names)
    }

    /// The count of every slot that has a name.
    pub(super) fn tally(&self) -> Result<Tally, KernelError> {
        let mut tally = Tally::new();
        self.0.visit(|slot, cells| {
            if cells[0].conduit != [0; 32] {
                tally.insert(slot, sum(cells));
            }
        })?;
        Ok(tally)
    }
}

impl DropCounters {
    /// Takes over a map of [`Shape::DROPS`].
    pub(super) fn of(map: MapData) -> Result<Self, KernelError> {
        Cells::of(map, Shape::DROPS).map(Self)
    }

    /// Number of cells.
    pub fn cells(&self) -> u32 {
        self.0.len()
    }

    /// Gives every cell of the zones its names; counts under the same names
    /// stay.
    pub fn label(
        &self,
        table: &DropTable,
        zones: &BTreeMap<u16, String>,
    ) -> Result<(), KernelError> {
        let is_same =
            |a: &DropCell, b: &DropCell| (a.from, a.to, a.reason) == (b.from, b.to, b.reason);
        self.0.label(labels(table, zones), is_same)
    }

    /// The counts that are not zero, all CPUs added up.
    pub fn read(&self) -> Result<Vec<DropCount>, KernelError> {
        let mut counts = Vec::new();
        self.0.visit(|_, cells| {
            let count = DropCount::of(cells);
            if count.packets != 0 {
                counts.push(count);
            }
        })?;
        Ok(counts)
    }

    /// The name of every zone id that has one.
    pub(super) fn zones(&self, table: &DropTable) -> Result<BTreeMap<u16, String>, KernelError> {
        let reason = DropReason::SPOOFED_SOURCE;
        let ids: BTreeMap<u32, u16> = (0..table.zones as u16)
            .map(|id| (table.index(ZoneId(id), None, reason), id))
            .collect();
        let mut zones = BTreeMap::new();
        self.0.visit(|index, cells| {
            if let Some(id) = ids.get(&index).filter(|_| cells[0].from != [0; 32]) {
                zones.insert(*id, text_of(&cells[0].from));
            }
        })?;
        Ok(zones)
    }

    /// Takes over what another map has counted, whose `zones` are a part of
    /// those of this map, under the same numbers; tells how much that is.
    pub(super) fn copy_from(
        &self,
        table: &DropTable,
        other: (&Self, &DropTable),
        zones: &BTreeMap<u16, String>,
    ) -> Result<Tally, KernelError> {
        let (other, other_table) = other;
        let labels = labels(table, zones);
        let mut copied: BTreeMap<u32, Vec<DropCell>> = BTreeMap::new();
        other.visit_moving(other_table, table, zones, |target, cells| {
            let Some(label) = labels.get(&target) else {
                return;
            };
            let sums = copied
                .entry(target)
                .or_insert_with(|| vec![*label; cells.len()]);
            for (sum, cell) in sums.iter_mut().zip(cells) {
                sum.packets += cell.packets;
                sum.bytes += cell.bytes;
            }
        })?;
        self.0.write(&copied)?;
        Ok(copied
            .iter()
            .map(|(index, cells)| (*index, sum(cells)))
            .collect())
    }

    /// The counts of this map by the cells that they have in another one.
    pub(super) fn tally(
        &self,
        table: &DropTable,
        target: &DropTable,
        zones: &BTreeMap<u16, String>,
    ) -> Result<Tally, KernelError> {
        let mut tally = Tally::new();
        self.visit_moving(table, target, zones, |index, cells| {
            let (packets, bytes) = sum(cells);
            let total = tally.entry(index).or_default();
            *total = (total.0 + packets, total.1 + bytes);
        })?;
        Ok(tally)
    }

    fn visit_moving(
        &self,
        table: &DropTable,
        target: &DropTable,
        zones: &BTreeMap<u16, String>,
        mut visit: impl FnMut(u32, &[DropCell]),
    ) -> Result<(), KernelError> {
        let moves = moves(table, target, zones);
        self.0.visit(|index, cells| {
            let target = moves.get(&index).filter(|_| cells[0].from != [0; 32]);
            if let Some(target) = target {
                visit(*target, cells);
            }
        })
    }
}

/// A cell that counts.
trait Counting {
    fn count(&self) -> (u64, u64);
}

impl Counting for ConduitCell {
    fn count(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }
}

impl Counting for DropCell {
    fn count(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }
}

/// Packets and bytes of one element on all CPUs.
fn sum(cells: &[impl Counting]) -> (u64, u64) {
    let counts = cells.iter().map(Counting::count);
    counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
}

/// The cells of `zones`, with their names and zero counts.
pub(super) fn labels(table: &DropTable, zones: &BTreeMap<u16, String>) -> BTreeMap<u32, DropCell> {
    let mut cells = BTreeMap::new();
    places(table, zones, |from, to, reason| {
        let to_name = match to {
            None => "-",
            Some(_) if !table.is_paired() => "*",
            Some(to) => &zones[&to.0],
        };
        let cell = DropCell {
            from: name_of(&zones[&from.0]),
            to: name_of(to_name),
            reason: name_of(reason.name()),
            packets: 0,
            bytes: 0,
        };
        cells.insert(table.index(from, to, reason), cell);
    });
    cells
}

/// Where each cell of one table lies in another.
fn moves(old: &DropTable, new: &DropTable, zones: &BTreeMap<u16, String>) -> BTreeMap<u32, u32> {
    let mut moves = BTreeMap::new();
    places(old, zones, |from, to, reason| {
        moves.insert(old.index(from, to, reason), new.index(from, to, reason));
    });
    moves
}

/// Visits every cell that `zones` have in a table.
fn places(
    table: &DropTable,
    zones: &BTreeMap<u16, String>,
    mut visit: impl FnMut(ZoneId, Option<ZoneId>, DropReason),
) {
    let ids = || {
        zones
            .keys()
            .copied()
            .filter(|id| u32::from(*id) < table.zones)
    };
    for from in ids().map(ZoneId) {
        single_reasons().for_each(|reason| visit(from, None, reason));
        let destinations = if table.is_paired() { usize::MAX } else { 1 };
        for to in ids().take(destinations).map(ZoneId) {
            pair_reasons().for_each(|reason| visit(from, Some(to), reason));
        }
    }
}

/// A name as a cell holds it.
pub(super) fn name_of(text: &str) -> Name {
    let mut name = [0; 32];
    let len = text.len().min(name.len());
    name[..len].copy_from_slice(&text.as_bytes()[..len]);
    name
}

fn text_of(name: &Name) -> String {
    let len = name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(name.len());
    String::from_utf8_lossy(&name[..len]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(count: u16) -> BTreeMap<u16, String> {
        (0..count).map(|id| (id, format!("zone{id}"))).collect()
    }

    #[test]
    fn every_cell_of_a_full_table_has_a_name_but_the_spare_ones() {
        for count in [4u16, 66, 80] {
            let table = DropTable::for_zones(u32::from(count));
            let labels = labels(&table, &zones(count));
            let singles = single_reasons().count();
            let destinations = if table.is_paired() { count as usize } else { 1 };
            let expected = usize::from(count) * (singles + destinations * pair_reasons().count());
            assert_eq!(labels.len(), expected, "{count}");
            assert!(labels.keys().all(|index| *index < table.cells()), "{count}");
        }
    }

    #[test]
    fn counts_move_to_the_cells_of_the_same_zones() {
        let (small, paired, shared) = (
            DropTable::for_zones(4),
            DropTable::for_zones(16),
            DropTable::for_zones(100),
        );
        let (from, to, reason) = (ZoneId(2), ZoneId(3), DropReason::NO_CONDUIT);
        for new in [paired, shared] {
            let moves = moves(&small, &new, &zones(4));
            let old_index = small.index(from, Some(to), reason);
            assert_eq!(moves[&old_index], new.index(from, Some(to), reason));
        }
    }

    #[test]
    fn names_survive() {
        for text in [
            "",
            "plc",
            "(essential:dhcpv6)",
            "a234567890123456789012345678901",
        ] {
            assert_eq!(text_of(&name_of(text)), text);
        }
    }
}
