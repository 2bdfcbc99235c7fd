//! Counter cells, and where each drop is counted.

use crate::control::DropTable;
use crate::verdict::DropReason;
use crate::zone::ZoneId;

/// A name as text, filled up with zero bytes.
pub type Name = [u8; 32];

/// Packets that one conduit, or one built-in rule, decided.
///
/// Bytes are layer-2 length without frame check sequence.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConduitCell {
    /// Id of the conduit; empty in an unused cell.
    pub conduit: Name,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What was dropped between two zones for one reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropCell {
    /// Source zone; empty in an unused cell.
    pub from: Name,
    /// Destination zone; `-` when the packet was dropped before it was known,
    /// `*` when all destinations share the cell.
    pub to: Name,
    /// Name of the drop reason.
    pub reason: Name,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A count that a test-run adds to a cell while programs count in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// [`Addition::CONDUITS`] or [`Addition::DROPS`].
    pub map: u32,
    /// Index of the cell.
    pub index: u32,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Addition {
    /// To `conduit_counters`.
    pub const CONDUITS: u32 = 0;
    /// To `drop_counters`.
    pub const DROPS: u32 = 1;
}

const _: () = assert!(size_of::<Addition>() == 24);
const _: () = assert!(size_of::<ConduitCell>() == 48);
const _: () = assert!(size_of::<DropCell>() == 112);

// SAFETY: `repr(C)`, no padding, and every bit pattern is a value.
#[cfg(feature = "user")]
unsafe impl aya::Pod for Addition {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for ConduitCell {}
// SAFETY: as above.
#[cfg(feature = "user")]
unsafe impl aya::Pod for DropCell {}

/// Cells for one pair of zones: the reasons that presuppose a destination.
const PAIR_CELLS: u32 = 11;
/// Cells for one source zone: the reasons that do not, by their numbers.
const SINGLE_CELLS: u32 = 64;
/// More zone ids than this, and destinations share a cell.
const PAIRED_ZONES: u32 = 66;

impl DropTable {
    /// The table for `zones` zone ids.
    pub const fn for_zones(zones: u32) -> Self {
        let paired = zones <= PAIRED_ZONES;
        let from_stride = if paired {
            zones * PAIR_CELLS
        } else {
            PAIR_CELLS
        };
        let to_stride = if paired { PAIR_CELLS } else { 0 };
        Self {
            zones,
            to_stride,
            from_stride,
            singles: zones * from_stride,
        }
    }

    /// Number of cells.
    pub const fn cells(&self) -> u32 {
        self.singles + self.zones * SINGLE_CELLS
    }

    /// The cell that counts a drop; `None` for the destination when the packet
    /// was dropped before it was known.
    #[inline(always)]
    pub fn index(&self, from: ZoneId, to: Option<ZoneId>, reason: DropReason) -> u32 {
        let from = u32::from(from.0);
        match (to, pair_cell(reason)) {
            (Some(to), Some(cell)) => {
                from * self.from_stride + u32::from(to.0) * self.to_stride + cell
            }
            _ => self.singles + from * SINGLE_CELLS + u32::from(reason.0),
        }
    }

    /// Whether every destination has cells of its own.
    pub const fn is_paired(&self) -> bool {
        self.to_stride != 0
    }
}

/// Place among the cells of a pair; `None` for reasons without a destination.
#[inline(always)]
const fn pair_cell(reason: DropReason) -> Option<u32> {
    match reason {
        DropReason::NO_CONDUIT => Some(0),
        DropReason::CONDUIT => Some(1),
        DropReason::INTRA_ZONE => Some(2),
        DropReason::SELF_OUT => Some(3),
        DropReason::TCP_NO_FLOW => Some(4),
        DropReason::FLOW_TABLE_FULL => Some(5),
        DropReason::LINK_LOCAL => Some(6),
        DropReason::REJECT => Some(7),
        DropReason::RATE_LIMITED => Some(8),
        DropReason::AUDIT => Some(9),
        DropReason::ICMP_UNRELATED => Some(10),
        _ => None,
    }
}

/// The reasons that are counted by pair of zones.
pub fn pair_reasons() -> impl Iterator<Item = DropReason> {
    DropReason::ALL
        .iter()
        .copied()
        .filter(|reason| pair_cell(*reason).is_some())
}

/// The reasons that are counted without a destination; an audit can let pass
/// what would have been dropped with or without one.
pub fn single_reasons() -> impl Iterator<Item = DropReason> {
    DropReason::ALL
        .iter()
        .copied()
        .filter(|reason| pair_cell(*reason).is_none() || *reason == DropReason::AUDIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_drop_has_a_cell_of_its_own() {
        for zones in [3, 66, 67] {
            let table = DropTable::for_zones(zones);
            let mut seen = std::collections::BTreeSet::new();
            for from in 0..zones as u16 {
                for reason in single_reasons() {
                    let index = table.index(ZoneId(from), None, reason);
                    assert!(
                        index < table.cells() && seen.insert(index),
                        "{zones} {from}"
                    );
                }
                let destinations = if table.is_paired() { zones as u16 } else { 1 };
                for to in 0..destinations {
                    for reason in pair_reasons() {
                        let index = table.index(ZoneId(from), Some(ZoneId(to)), reason);
                        assert!(
                            index < table.cells() && seen.insert(index),
                            "{zones} {from} {to}"
                        );
                    }
                }
            }
        }
    }
}
