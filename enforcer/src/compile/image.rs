//! The image: the exact content of every map for one policy.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::layout::{Block, HALF_WORDS, Layout};
use enforcer_common::lookup::Tables;

use super::size::Sizes;
use crate::policy::model::Hook;

/// One compiled policy. Equal policies on equal machines have equal images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The tables, cut into blocks.
    pub blocks: Vec<Block>,
    /// Where each table begins, in half-words from the first of `blocks`; its
    /// generation is 0, and limits of idle flows are in seconds.
    pub layout: Layout,
    /// The name of every zone id, also of zones that only earlier policies had.
    pub zones: BTreeMap<u16, String>,
    /// The name of every slot, also of conduits that only earlier policies had.
    pub slots: BTreeMap<u32, String>,
    /// Most established flows.
    pub flows: u32,
    /// Most other flows.
    pub flows_new: u32,
    /// The interfaces that get programs, by index, and how.
    pub hooks: BTreeMap<u32, Hook>,
}

impl Image {
    /// The interfaces that get programs, by index.
    pub fn enforced(&self) -> BTreeSet<u32> {
        self.hooks.keys().copied().collect()
    }

    /// The room that the image takes.
    pub fn sizes(&self) -> Sizes {
        let end = |highest: Option<&u32>| highest.map_or(0, |highest| highest + 1);
        Sizes {
            blocks: self.blocks.len() as u32,
            zone_ids: self.layout.zones,
            slots: end(self.slots.keys().next_back()),
            flows: self.flows,
            flows_new: self.flows_new,
        }
    }
}

impl Tables for Image {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn half_word(&self, at: u32) -> u16 {
        let half_words = self.blocks.as_flattened();
        half_words.get(at as usize).copied().unwrap_or(0)
    }

    fn word(&self, at: u32) -> u32 {
        u32::from(self.half_word(at)) | u32::from(self.half_word(at + 1)) << 16
    }

    fn quad(&self, at: u32) -> u64 {
        u64::from(self.word(at)) | u64::from(self.word(at + 2)) << 32
    }
}

/// Cuts tables into blocks, one table after the other. Each takes at least one
/// block, so that it can be indexed.
#[derive(Default)]
pub(super) struct Blocks(Vec<Block>);

impl Blocks {
    /// Adds a table of half-words and returns where it begins, in half-words.
    pub(super) fn half_words(&mut self, table: &[u16]) -> u32 {
        let first = self.end();
        self.0.extend(table.chunks(HALF_WORDS as usize).map(block));
        if table.is_empty() {
            self.0.push(block(&[]));
        }
        first
    }

    /// Adds a table of words, each stored low half-word first.
    pub(super) fn words(&mut self, table: &[u32]) -> u32 {
        let halves = |word: &u32| [*word as u16, (*word >> 16) as u16];
        let table: Vec<u16> = table.iter().flat_map(halves).collect();
        self.half_words(&table)
    }

    /// Adds a table that is cut already.
    pub(super) fn blocks(&mut self, table: Vec<Block>) -> u32 {
        let first = self.end();
        self.0.extend(table);
        first
    }

    fn end(&self) -> u32 {
        self.0.len() as u32 * HALF_WORDS
    }

    pub(super) fn into_inner(self) -> Vec<Block> {
        self.0
    }
}

fn block(half_words: &[u16]) -> Block {
    let mut block = [0; HALF_WORDS as usize];
    block[..half_words.len()].copy_from_slice(half_words);
    block
}
