//! How much room an image takes, and how large the maps are made for it.

use enforcer_common::control::DropTable;
use enforcer_common::counter::{ConduitCell, DropCell};
use enforcer_common::flow::{Flow, FlowKey};
use enforcer_common::fragment::{Datagram, DatagramKey};
use enforcer_common::layout::Block;
use enforcer_common::limits::{EVENT_BYTES, FRAGMENTS, RATE_SOURCES};
use enforcer_common::terms::SourceKey;
use serde::Serialize;

use crate::policy::{Diagnostic, DiagnosticKind, Findings, Span};

/// Most blocks of one policy.
pub const MAX_BLOCKS: usize = BLOCKS[BLOCKS.len() - 1] as usize;
/// Most zone ids, `unknown` and `self` among them.
pub const MAX_ZONE_IDS: usize = ZONE_IDS[ZONE_IDS.len() - 1] as usize;
const _: () = assert!(MAX_ZONE_IDS <= enforcer_common::cell::SourceCell::MOST_ZONES as usize);

/// Most slots, the built-in ones among them.
pub const MAX_SLOTS: usize = SLOTS[SLOTS.len() - 1] as usize;

/// Most interfaces of a machine.
pub const MAX_INTERFACES: usize = 4_096;

/// Powers of two: the programs keep inside the tables by a mask.
const BLOCKS: [u32; 4] = [1_024, 4_096, 16_384, 65_536];
/// 66 is where [`DropTable`] stops to tell destinations apart.
const ZONE_IDS: [u32; 5] = [16, 66, 256, 1_002, 2_048];
const SLOTS: [u32; 5] = [256, 1_024, 4_096, 16_384, 131_072];

/// Policies that the `tables` map holds: the active one and the next.
const POLICIES: u64 = 2;
/// What the kernel adds to key and value of a hash entry, its share of the
/// bucket array included.
const HASH_ENTRY_BYTES: u64 = 64;

/// One bucket of a rate.
const BUCKET_BYTES: usize = size_of::<u64>();

/// What one image needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Blocks of all tables.
    pub blocks: u32,
    /// The highest zone id, and one.
    pub zone_ids: u32,
    /// The highest slot, and one.
    pub slots: u32,
    /// Established flows that the policy wants room for.
    pub flows: u32,
    /// Other flows, likewise.
    pub flows_new: u32,
}

/// What maps have room for; they are made for a class, so that most changes of
/// a policy fit the maps that are there. Flow maps are as large as the policy
/// says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeClass {
    /// Blocks of each of two policies.
    pub blocks: u32,
    /// Zone ids that `drop_counters` can tell apart.
    pub zone_ids: u32,
    /// Slots in `conduit_counters`.
    pub slots: u32,
    /// Entries of `flows`.
    pub flows: u32,
    /// Entries of `flows_new`.
    pub flows_new: u32,
}

/// Bytes of kernel memory that each map takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Tables of two policies.
    pub tables: u64,
    /// A cell for each slot and possible CPU.
    pub conduit_counters: u64,
    /// Cells by zones and reason, for each possible CPU.
    pub drop_counters: u64,
    /// Flows that are established.
    pub flows: u64,
    /// Flows that are not established yet.
    pub flows_new: u64,
    /// Datagrams whose later fragments are awaited.
    pub fragments: u64,
    /// Buckets of conduits and sources with a rate.
    pub rates: u64,
    /// The ring buffer of events.
    pub events: u64,
}

impl Sizes {
    /// A quarter more of everything.
    fn with_reserve(self) -> Self {
        let more = |count: u32| count + count / 4;
        Self {
            blocks: more(self.blocks),
            zone_ids: more(self.zone_ids),
            slots: more(self.slots),
            ..self
        }
    }
}

impl SizeClass {
    /// The smallest class that `sizes` fit; `None` beyond the largest.
    pub fn for_sizes(sizes: Sizes) -> Option<Self> {
        Some(Self {
            blocks: at_least(&BLOCKS, sizes.blocks)?,
            zone_ids: at_least(&ZONE_IDS, sizes.zone_ids)?,
            slots: at_least(&SLOTS, sizes.slots)?,
            flows: sizes.flows,
            flows_new: sizes.flows_new,
        })
    }

    /// Whether `sizes` fit into maps of this class.
    pub fn fits(&self, sizes: Sizes) -> bool {
        let has_room = sizes.blocks <= self.blocks
            && sizes.zone_ids <= self.zone_ids
            && sizes.slots <= self.slots;
        has_room && (sizes.flows, sizes.flows_new) == (self.flows, self.flows_new)
    }

    /// The class to move to from this one once no more than `sizes` is needed;
    /// `None` where that is not worth it.
    ///
    /// It must halve what policies take, and leave a reserve: who grows and
    /// shrinks a little about the end of a class stays where he is.
    pub fn smaller_for(&self, sizes: Sizes, cpus: u32) -> Option<Self> {
        let class = Self::for_sizes(sizes.with_reserve())?;
        let class = Self {
            blocks: class.blocks.min(self.blocks),
            slots: class.slots.min(self.slots),
            zone_ids: class.zone_ids.min(self.zone_ids),
            ..class
        };
        let class = class.after(self);
        let [smaller, present] = [class, *self].map(|class| class.memory(cpus).of_policies());
        (smaller <= present / 2).then_some(class)
    }

    /// This class for maps that take over the counts of others: drops that were
    /// counted for all destinations together cannot be told apart any more.
    pub fn after(self, before: &Self) -> Self {
        let is_paired = |class: &Self| DropTable::for_zones(class.zone_ids).is_paired();
        let zone_ids = match is_paired(&self) && !is_paired(before) {
            true => before.zone_ids,
            false => self.zone_ids,
        };
        Self { zone_ids, ..self }
    }

    /// Memory of maps of this class on a machine that can have this many CPUs,
    /// each with counters of its own.
    pub fn memory(&self, cpus: u32) -> Memory {
        let bytes = |count: u32, size: usize| u64::from(count) * size as u64;
        let cpus = u64::from(cpus);
        let drop_cells = DropTable::for_zones(self.zone_ids).cells();
        let flow = size_of::<FlowKey>() + size_of::<Flow>();
        let flow = flow as u64 + HASH_ENTRY_BYTES;
        // The kernel rounds keys up to words.
        let datagram = size_of::<DatagramKey>().next_multiple_of(8) + size_of::<Datagram>();
        let source = (size_of::<SourceKey>().next_multiple_of(8) + BUCKET_BYTES) as u64;
        let source = source + HASH_ENTRY_BYTES;
        Memory {
            tables: POLICIES * bytes(self.blocks, size_of::<Block>()),
            conduit_counters: cpus * bytes(self.slots, size_of::<ConduitCell>()),
            drop_counters: cpus * bytes(drop_cells, size_of::<DropCell>()),
            flows: u64::from(self.flows) * flow,
            flows_new: u64::from(self.flows_new) * flow,
            fragments: u64::from(FRAGMENTS) * (datagram as u64 + HASH_ENTRY_BYTES),
            rates: bytes(self.slots, BUCKET_BYTES) + u64::from(RATE_SOURCES) * source,
            events: EVENT_BYTES.into(),
        }
    }
}

impl Memory {
    /// Maps that are larger for larger policies.
    fn of_policies(&self) -> u64 {
        self.tables + self.conduit_counters + self.drop_counters
    }

    /// All maps together.
    pub fn total(&self) -> u64 {
        let counters = self.conduit_counters + self.drop_counters;
        self.tables
            + counters
            + self.flows
            + self.flows_new
            + self.fragments
            + self.rates
            + self.events
    }
}

/// Refuses a policy that needs more of something than there is room for.
pub(super) fn room_for(found: usize, what: &'static str, limit: usize) -> Result<(), Findings> {
    if found <= limit {
        return Ok(());
    }
    let kind = DiagnosticKind::NoRoom { what, found, limit };
    Err(Diagnostic::new(kind, Span::default()).into())
}

fn at_least(classes: &[u32], needed: u32) -> Option<u32> {
    classes.iter().copied().find(|class| *class >= needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_the_smallest_that_fit() {
        let cases = [
            ((1, 3, 33), Some((1_024, 16, 256))),
            ((1_024, 16, 256), Some((1_024, 16, 256))),
            ((1_025, 17, 257), Some((4_096, 66, 1_024))),
            ((65_536, 1_003, 131_072), Some((65_536, 2_048, 131_072))),
            ((65_537, 3, 33), None),
            ((1, 2_049, 33), None),
            ((1, 3, 131_073), None),
        ];
        for ((blocks, zone_ids, slots), want) in cases {
            let sizes = Sizes {
                blocks,
                zone_ids,
                slots,
                flows: 1_024,
                flows_new: 2_048,
            };
            let class = SizeClass::for_sizes(sizes);
            let got = class.map(|class| (class.blocks, class.zone_ids, class.slots));
            assert_eq!(got, want, "{sizes:?}");
            assert!(class.is_none_or(|class| class.fits(sizes)), "{sizes:?}");
        }
    }

    #[test]
    fn a_class_is_left_when_that_halves_its_memory_and_leaves_a_reserve() {
        let class = |(blocks, zone_ids, slots)| SizeClass {
            blocks,
            zone_ids,
            slots,
            flows: 1_024,
            flows_new: 2_048,
        };
        let (small, large) = ((1_024, 16, 256), (4_096, 66, 1_024));
        let cases = [
            (large, (100, 5, 40), Some(small)),
            (large, (819, 13, 204), Some(small)),
            (large, (819, 14, 204), None),
            (large, (1_000, 13, 204), Some((4_096, 16, 256))),
            (large, (4_096, 66, 1_024), None),
            (small, (1, 3, 33), None),
            ((65_536, 16, 256), (100, 5, 40), Some(small)),
            ((65_536, 2_048, 131_072), (65_536, 3, 33), None),
            // Not worth it: counters of drops take most.
            ((1_024, 66, 1_024), (1, 50, 33), None),
            // One counter for all destinations would do, or one for each.
            ((1_024, 66, 1_024), (1, 60, 33), None),
            ((65_536, 256, 256), (1, 3, 33), Some((1_024, 256, 256))),
            ((65_536, 1_002, 256), (1, 90, 33), Some((1_024, 256, 256))),
        ];
        for (present, (blocks, zone_ids, slots), want) in cases {
            let sizes = Sizes {
                blocks,
                zone_ids,
                slots,
                flows: 1_024,
                flows_new: 2_048,
            };
            let got = class(present).smaller_for(sizes, 2);
            assert_eq!(got, want.map(class), "{present:?} {sizes:?}");
            if let Some(smaller) = got {
                let again = smaller.smaller_for(sizes, 2);
                assert_eq!(again, None, "{present:?} {sizes:?}");
            }
        }
    }

    #[test]
    fn memory_is_that_of_the_maps() {
        let class = SizeClass {
            blocks: 1_024,
            zone_ids: 16,
            slots: 256,
            flows: 65_536,
            flows_new: 1,
        };
        let want = Memory {
            tables: 1 << 20,
            conduit_counters: 2 * 256 * 48,
            drop_counters: 2 * (16 * 16 * 11 + 16 * 64) * 112,
            flows: 12 << 20,
            flows_new: 192,
            fragments: 1_024 * (64 + 1_056 + 64),
            rates: 256 * 8 + 16_384 * 96,
            events: 262_144,
        };
        let got = class.memory(2);
        assert_eq!(got, want);
        let rates_and_events = 2_048 + 1_572_864 + 262_144;
        let total = 1_048_576 + 24_576 + 860_160 + 12_582_912 + 192 + 1_212_416 + rates_and_events;
        assert_eq!(got.total(), total);
    }
}
