//! What the maps of a size class take of the kernel's memory. Every one of them has
//! a bound, and is allocated when it is made.

use enforcer_common::control::{Control, DropTable};
use enforcer_common::counter::{ConduitCell, DropCell};
use enforcer_common::event::Budget;
use enforcer_common::flow::{Flow, FlowKey};
use enforcer_common::fragment::{Datagram, DatagramKey};
use enforcer_common::layout::Block;
use enforcer_common::limits::{EVENT_BYTES, FRAGMENTS, RATE_SOURCES, SCRATCH_BYTES, SCRATCHES};
use enforcer_common::terms::SourceKey;
use serde::Serialize;

use super::size::SizeClass;

/// Policies that the `tables` map holds: the active one and the next.
const POLICIES: u32 = 2;
/// What the kernel adds to key and value of a hash entry, its share of the
/// bucket array included.
const HASH_ENTRY_BYTES: u64 = 64;
/// The kernel gives maps that are shared with processes in whole pages.
const PAGE_BYTES: u64 = 4_096;
/// Pages of a ring buffer beside its data: producer, consumer, and its head.
const RING_PAGES: u64 = 3;

/// Kernel memory of an installation, map by map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Every map, those first that a policy decides about.
    pub maps: Vec<MapMemory>,
}

/// One map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MapMemory {
    /// Its name.
    pub map: &'static str,
    /// How many entries it has room for; of a ring buffer, bytes.
    pub entries: u32,
    /// How many CPUs have entries of their own; 1 where all share them.
    pub copies: u32,
    /// Bytes of kernel memory.
    pub bytes: u64,
}

impl Memory {
    /// Memory of maps of a class on a machine that can have this many CPUs, each
    /// with counters of its own.
    pub fn of(class: &SizeClass, cpus: u32) -> Self {
        let drop_cells = DropTable::for_zones(class.zone_ids).cells();
        let table = class.blocks as usize * size_of::<Block>();
        let flow = size_of::<FlowKey>() + size_of::<Flow>();
        // The kernel rounds keys up to words.
        let datagram = size_of::<DatagramKey>().next_multiple_of(8) + size_of::<Datagram>();
        let bucket = size_of::<u64>();
        let source = size_of::<SourceKey>().next_multiple_of(8) + bucket;
        let maps = vec![
            MapMemory::pages("tables", POLICIES, table),
            MapMemory::per_cpu(
                "conduit_counters",
                class.slots,
                size_of::<ConduitCell>(),
                cpus,
            ),
            MapMemory::per_cpu("drop_counters", drop_cells, size_of::<DropCell>(), cpus),
            MapMemory::hash("flows", class.flows, flow),
            MapMemory::hash("flows_new", class.flows_new, flow),
            MapMemory::pages("rates", class.slots, bucket),
            MapMemory::hash("rate_sources", RATE_SOURCES, source),
            MapMemory::hash("fragments", FRAGMENTS, datagram),
            MapMemory {
                map: "events",
                entries: EVENT_BYTES,
                copies: 1,
                bytes: u64::from(EVENT_BYTES) + RING_PAGES * PAGE_BYTES,
            },
            MapMemory::per_cpu("budgets", Budget::COUNT as u32, size_of::<Budget>(), cpus),
            MapMemory::per_cpu("scratch", SCRATCHES, SCRATCH_BYTES, cpus),
            MapMemory::pages("control", 1, size_of::<Control>()),
        ];
        Self { maps }
    }

    /// Bytes of one map; 0 if there is no such map.
    pub fn bytes_of(&self, map: &str) -> u64 {
        let found = self.maps.iter().find(|found| found.map == map);
        found.map_or(0, |found| found.bytes)
    }

    /// Bytes of maps that are larger for larger policies.
    pub(super) fn of_policies(&self) -> u64 {
        let growing = ["tables", "conduit_counters", "drop_counters"];
        growing.iter().map(|map| self.bytes_of(map)).sum()
    }

    /// Bytes of all maps together.
    pub fn total(&self) -> u64 {
        self.maps.iter().map(|map| map.bytes).sum()
    }
}

impl MapMemory {
    fn hash(map: &'static str, entries: u32, entry: usize) -> Self {
        Self {
            map,
            entries,
            copies: 1,
            bytes: u64::from(entries) * (entry as u64 + HASH_ENTRY_BYTES),
        }
    }

    fn per_cpu(map: &'static str, entries: u32, entry: usize, cpus: u32) -> Self {
        Self {
            map,
            entries,
            copies: cpus,
            bytes: u64::from(entries) * u64::from(cpus) * entry.next_multiple_of(8) as u64,
        }
    }

    fn pages(map: &'static str, entries: u32, entry: usize) -> Self {
        let bytes = u64::from(entries) * entry.next_multiple_of(8) as u64;
        Self {
            map,
            entries,
            copies: 1,
            bytes: bytes.next_multiple_of(PAGE_BYTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_maps() {
        let class = SizeClass {
            blocks: 1_024,
            zone_ids: 16,
            slots: 256,
            flows: 65_536,
            flows_new: 1,
        };
        let memory = class.memory(2);
        let want = [
            ("tables", 1 << 20),
            ("conduit_counters", 2 * 256 * 48),
            ("drop_counters", 2 * (16 * 16 * 11 + 16 * 64) * 112),
            ("flows", 12 << 20),
            ("flows_new", 192),
            ("fragments", 1_024 * (64 + 1_056 + 64)),
            ("rates", 4_096),
            ("rate_sources", 16_384 * 96),
            ("events", 262_144 + 3 * 4_096),
            ("no-such-map", 0),
        ];
        for (map, bytes) in want {
            assert_eq!(memory.bytes_of(map), bytes, "{map}");
        }
        let named: u64 = want.iter().map(|(_, bytes)| bytes).sum();
        let small = ["budgets", "scratch", "control"].map(|map| memory.bytes_of(map));
        assert!(small.iter().all(|bytes| *bytes > 0), "{small:?}");
        assert_eq!(memory.total(), named + small.iter().sum::<u64>());
    }
}
