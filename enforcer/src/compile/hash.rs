//! A hash without collisions for the interfaces of one machine.

use enforcer_common::layout::{HALF_WORDS, LinkEntry};

/// Entries of the smallest table, as a power of two: one block of them.
const MIN_BITS: u32 = (HALF_WORDS / LinkEntry::HALF_WORDS).ilog2();
/// Entries of the largest table, as a power of two.
const MAX_BITS: u32 = 24;
/// Multipliers that are tried before the table grows.
const TRIES: u16 = 1024;
/// 2^32 divided by the golden ratio: spreads numbers that follow each other.
const GOLDEN: u32 = 0x9e37_79b1;

/// Where `lookup::link` looks for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    /// Odd.
    pub(super) multiplier: u32,
    /// Entries of the table, as a power of two.
    bits: u32,
}

/// The hash with the smallest table, at least twice as large as `entries`, in
/// which no two of them meet.
pub(super) fn collision_free(entries: &[LinkEntry]) -> Hash {
    let enough = (entries.len() * 2).next_power_of_two().ilog2();
    (enough.max(MIN_BITS)..=MAX_BITS)
        .find_map(|bits| {
            let mut taken = vec![0_u16; 1 << bits];
            let hashes = multipliers().map(|multiplier| Hash { multiplier, bits });
            let mut numbered = (1..=TRIES).zip(hashes);
            numbered.find(|(number, hash)| {
                entries.iter().all(|entry| {
                    let place = &mut taken[hash.place(entry.ifindex)];
                    std::mem::replace(place, *number) != *number
                })
            })
        })
        .map(|(_, hash)| hash)
        .expect("in so large a table nearly every multiplier keeps some thousand indices apart")
}

impl Hash {
    /// How far the product is shifted down.
    pub(super) fn shift(&self) -> u32 {
        u32::BITS - self.bits
    }

    /// The table of `entries`.
    pub(super) fn table(&self, entries: &[LinkEntry]) -> Vec<u16> {
        let width = LinkEntry::HALF_WORDS as usize;
        let mut table = vec![0; width << self.bits];
        for entry in entries {
            let at = self.place(entry.ifindex) * width;
            let ifindex = [entry.ifindex as u16, (entry.ifindex >> 16) as u16];
            table[at..at + 2].copy_from_slice(&ifindex);
            table[at + 2] = entry.value;
            table[at + 3] = entry.flags;
        }
        table
    }

    fn place(&self, ifindex: u32) -> usize {
        (ifindex.wrapping_mul(self.multiplier) >> self.shift()) as usize
    }
}

/// Odd numbers without a pattern; always the same.
pub(super) fn multipliers() -> impl Iterator<Item = u32> {
    std::iter::successors(Some(GOLDEN), |last| {
        // Xorshift (Marsaglia 2003), which never reaches zero.
        let mut next = *last;
        next ^= next << 13;
        next ^= next >> 17;
        next ^= next << 5;
        Some(next)
    })
    .map(|number| number | 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_interfaces_meet() {
        let sets: [Vec<u32>; 6] = [
            vec![],
            vec![7],
            (1..=32).collect(),
            (1..=1000).collect(),
            (1..=500).map(|index| index * 37 % 65_521).collect(),
            (1..=200).map(|index| index * index * 7919).collect(),
        ];
        for indices in sets {
            let entry = |ifindex: &u32| LinkEntry {
                ifindex: *ifindex,
                value: 0,
                flags: 0,
            };
            let entries: Vec<_> = indices.iter().map(entry).collect();
            let hash = collision_free(&entries);
            let places: BTreeSet<_> = indices.iter().map(|index| hash.place(*index)).collect();
            assert_eq!(places.len(), indices.len(), "{indices:?}");
            assert_eq!(hash.multiplier & 1, 1);
            assert!(1 << hash.bits >= indices.len() * 2 && hash.bits >= MIN_BITS);
            // What the data plane reads must be found block by block.
            assert_eq!(hash.table(&entries).len() % HALF_WORDS as usize, 0);
        }
    }
}
