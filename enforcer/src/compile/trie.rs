//! Tries of blocks: byte by byte from the root, equal blocks shared.

use std::collections::HashMap;

use enforcer_common::layout::{Block, HALF_WORDS, TRIE_POINTER};

use super::size::room_for;
use crate::policy::Findings;

/// Most blocks of a trie, and most values that its entries can tell apart.
pub(super) const MAX_TRIE: usize = TRIE_POINTER as usize;

/// The blocks of one trie, root first.
pub(super) struct Trie {
    blocks: Vec<Block>,
    seen: HashMap<Block, u16>,
    /// Blocks that found no room.
    refused: usize,
}

/// The value of all keys that begin with certain bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    /// Left-aligned.
    pub(super) bits: u128,
    /// How many of them count.
    pub(super) len: u32,
    /// Below [`TRIE_POINTER`].
    pub(super) value: u16,
}

impl Trie {
    /// A trie whose root has `root_bits` bits; the longest of `prefixes`, which
    /// are sorted, decides, and `default` where there is none.
    pub(super) fn of_prefixes(root_bits: u32, prefixes: &[Prefix], default: u16) -> Self {
        let mut trie = Self::with_root(root_bits);
        let root = trie.level(prefixes, 0, root_bits, default);
        trie.set_root(&root);
        trie
    }

    /// A trie without entries whose root has `root_bits` bits, at least eight.
    pub(super) fn with_root(root_bits: u32) -> Self {
        Self {
            blocks: vec![[0; HALF_WORDS as usize]; 1 << (root_bits - 8)],
            seen: HashMap::new(),
            refused: 0,
        }
    }

    /// Fills the root in.
    pub(super) fn set_root(&mut self, entries: &[u16]) {
        for (block, entries) in self.blocks.iter_mut().zip(entries.chunks(block_len())) {
            block.copy_from_slice(entries);
        }
    }

    /// The entry that leads to `block`, or the value that all of it has.
    pub(super) fn share(&mut self, block: Block) -> u16 {
        let first = block[0];
        if first & TRIE_POINTER == 0 && block.iter().all(|entry| *entry == first) {
            return first;
        }
        if let Some(entry) = self.seen.get(&block) {
            return *entry;
        }
        if self.blocks.len() == MAX_TRIE {
            self.refused += 1;
            return 0;
        }
        let entry = TRIE_POINTER | self.blocks.len() as u16;
        self.blocks.push(block);
        self.seen.insert(block, entry);
        entry
    }

    /// The blocks; `what` names them in a finding when there are too many.
    pub(super) fn finish(self, what: &'static str) -> Result<Vec<Block>, Findings> {
        room_for(self.blocks.len() + self.refused, what, MAX_TRIE)?;
        Ok(self.blocks)
    }

    /// The entries for `width` bits after the first `depth`.
    ///
    /// A prefix sorts before all that it contains, so when a longer one is
    /// reached, its entry has the value that it inherits.
    fn level(&mut self, prefixes: &[Prefix], depth: u32, width: u32, inherited: u16) -> Vec<u16> {
        let mut entries = vec![inherited; 1 << width];
        let index = |prefix: &Prefix| (prefix.bits << depth >> (128 - width)) as usize;
        let mut rest = prefixes;
        while let Some(prefix) = rest.first() {
            let at = index(prefix);
            if prefix.len <= depth + width {
                let count = 1 << (depth + width - prefix.len);
                entries[at..at + count].fill(prefix.value);
                rest = &rest[1..];
            } else {
                let count = rest.partition_point(|other| index(other) == at);
                let below = self.level(&rest[..count], depth + width, 8, entries[at]);
                let block = below.try_into().expect("eight bits make one block");
                entries[at] = self.share(block);
                rest = &rest[count..];
            }
        }
        entries
    }
}

const fn block_len() -> usize {
    HALF_WORDS as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prefix of an IPv4 address.
    fn v4(address: u32, len: u32, value: u16) -> Prefix {
        Prefix {
            bits: u128::from(address) << 96,
            len,
            value,
        }
    }

    #[test]
    fn equal_blocks_are_shared() {
        // The root takes 256 blocks; each address alone would take two more.
        let cases = [
            (vec![], 256),
            (vec![v4(0x0a00_0000, 8, 1)], 256),
            (vec![v4(0x0a00_0000, 24, 1)], 257),
            (vec![v4(0x0a00_0001, 32, 1)], 258),
            (vec![v4(0x0a00_0001, 32, 1), v4(0x0b00_0001, 32, 1)], 258),
            (vec![v4(0x0a00_0001, 32, 1), v4(0x0b00_0001, 32, 2)], 260),
            // What a prefix repeats takes no block.
            (vec![v4(0x0a00_0000, 8, 1), v4(0x0a00_0001, 32, 1)], 256),
            (vec![v4(0x0a00_0000, 32, 1), v4(0x0a00_0001, 32, 1)], 258),
        ];
        for (prefixes, want) in cases {
            let trie = Trie::of_prefixes(16, &prefixes, 0);
            assert_eq!(trie.finish("").unwrap().len(), want, "{prefixes:?}");
        }
    }

    #[test]
    fn a_trie_beyond_its_pointers_is_refused() {
        let scattered = |count: u32| {
            let prefixes =
                (0..count).map(|index| v4(index << 16 | index, 32, index as u16 % 7 + 1));
            Trie::of_prefixes(16, &prefixes.collect::<Vec<_>>(), 0).finish("blocks")
        };
        assert!(scattered(10_000).is_ok());
        let findings = scattered(32_000).unwrap_err();
        let finding = findings.iter().next().unwrap();
        assert_eq!(finding.kind.code(), "no-room");
    }
}
