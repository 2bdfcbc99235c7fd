//! How much room an image takes, and how large the maps are made for it.

use enforcer_common::control::DropTable;
use serde::Serialize;

use super::memory::Memory;
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

    /// Memory of maps of this class on a machine that can have this many CPUs.
    pub fn memory(&self, cpus: u32) -> Memory {
        Memory::of(self, cpus)
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

    fn sizes((blocks, zone_ids, slots): (u32, u32, u32)) -> Sizes {
        Sizes {
            blocks,
            zone_ids,
            slots,
            flows: 1_024,
            flows_new: 2_048,
        }
    }

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
        for (wanted, want) in cases {
            let sizes = sizes(wanted);
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
        for (present, wanted, want) in cases {
            let sizes = sizes(wanted);
            let got = class(present).smaller_for(sizes, 2);
            assert_eq!(got, want.map(class), "{present:?} {sizes:?}");
            if let Some(smaller) = got {
                let again = smaller.smaller_for(sizes, 2);
                assert_eq!(again, None, "{present:?} {sizes:?}");
            }
        }
    }
}
