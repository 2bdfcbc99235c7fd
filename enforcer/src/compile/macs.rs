//! What hardware addresses change in the source zones: classes of them, and
//! their tables.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::cell::SourceCell;
use enforcer_common::layout::{HALF_WORDS, MacEntry};
use enforcer_common::question;
use enforcer_common::zone::ZoneId;

use super::claims::{By, Claim, Claims};
use super::hash::multipliers;
use super::interner::Interner;
use super::size::{MAX_BLOCKS, room_for};
use crate::policy::Findings;
use crate::policy::mac::Mac;

/// Most hardware addresses that a policy names.
const MAX_MACS: usize = 16_384;
/// Multipliers that are tried before the table grows.
const TRIES: usize = 64;

/// The hardware addresses of a policy, told apart as far as its claims do.
pub(super) struct Macs {
    /// The class of each address, from 1 on.
    classes: BTreeMap<Mac, u16>,
    /// Indices into [`Claims::macs`] of the sets that each class is in.
    sets: Vec<Vec<usize>>,
}

/// The tables `macs`, `mac_links` and `mac_rows`.
#[derive(Default)]
pub(super) struct MacTables {
    pub(super) entries: Vec<u16>,
    pub(super) multiplier: u32,
    /// 0 when there are no entries.
    pub(super) shift: u32,
    pub(super) links: Vec<u16>,
    pub(super) rows: Vec<u16>,
}

/// Distinct rows of source zones by address class.
pub(super) struct MacRows<'m> {
    macs: &'m Macs,
    rows: Interner<Vec<u16>>,
    aliases: Aliases,
}

/// Zones of stations that their hardware address tells: the zones that packets to
/// them have.
pub(super) type Aliases = BTreeMap<ZoneId, BTreeSet<ZoneId>>;

impl Macs {
    /// Collects the addresses that claims name.
    pub(super) fn new(claims: &Claims) -> Self {
        let mut sets_of: BTreeMap<Mac, Vec<usize>> = BTreeMap::new();
        for (index, set) in claims.macs.iter().enumerate() {
            for mac in set {
                sets_of.entry(*mac).or_default().push(index);
            }
        }
        let mut sets = Interner::default();
        let classes = sets_of.into_iter().map(|(mac, sets_of_it)| {
            let class = sets.intern(sets_of_it) + 1;
            (mac, class as u16)
        });
        Self {
            classes: classes.collect(),
            sets: sets.into_values(),
        }
    }

    /// The tables; `links` has the rows of each link class, by class of
    /// hardware addresses.
    pub(super) fn tables<'l>(
        &self,
        links: impl Iterator<Item = &'l [u16]>,
        rows: Vec<Vec<u16>>,
    ) -> Result<MacTables, Findings> {
        if self.classes.is_empty() {
            return Ok(MacTables::default());
        }
        room_for(self.classes.len(), "hardware addresses", MAX_MACS)?;
        let limit = MAX_BLOCKS * HALF_WORDS as usize;
        let by_link: Vec<&[u16]> = links.collect();
        // Their numbers are half-words, from 1 on.
        let most = usize::from(u16::MAX);
        room_for(rows.len(), "rows of zones by hardware address", most)?;
        let cells = rows.iter().map(Vec::len).sum::<usize>();
        room_for(cells, "source zones by hardware address", limit)?;
        // Class 0 is that of addresses that nobody names.
        let mut table = vec![0; by_link.len()];
        for class in 0..self.sets.len() {
            table.extend(by_link.iter().map(|rows| rows[class]));
        }
        room_for(table.len(), "links by hardware address", limit)?;
        let (entries, multiplier, shift) = self.hashed();
        Ok(MacTables {
            entries,
            multiplier,
            shift,
            links: table,
            rows: rows.concat(),
        })
    }

    /// The smallest table in which no bucket is too small.
    fn hashed(&self) -> (Vec<u16>, u32, u32) {
        let bucket_size = MacEntry::BUCKET as usize;
        let enough = self.classes.len().div_ceil(bucket_size) * 2;
        // One bucket would be a shift by 32 bits.
        let first = enough.next_power_of_two().ilog2().max(1);
        let sizes =
            (first..u32::BITS).flat_map(|bits| multipliers().take(TRIES).map(move |m| (bits, m)));
        let fits = |&(bits, multiplier): &(u32, u32)| {
            let mut full = vec![0; 1 << bits];
            self.classes.keys().all(|mac| {
                let bucket = MacEntry::bucket(words(*mac), multiplier, u32::BITS - bits);
                full[bucket as usize] += 1;
                full[bucket as usize] <= bucket_size
            })
        };
        let mut sizes = sizes.filter(fits);
        let (bits, multiplier) = sizes
            .next()
            .expect("in a table large enough some multiplier spreads any addresses");
        let shift = u32::BITS - bits;
        let width = MacEntry::HALF_WORDS as usize;
        let mut entries = vec![0; (bucket_size * width) << bits];
        let mut full = vec![0; 1 << bits];
        for (mac, class) in &self.classes {
            let words = words(*mac);
            let bucket = MacEntry::bucket(words, multiplier, shift) as usize;
            let at = (bucket * bucket_size + full[bucket]) * width;
            full[bucket] += 1;
            let low = [words.low as u16, (words.low >> 16) as u16];
            entries[at..at + 2].copy_from_slice(&low);
            entries[at + 2] = words.high;
            entries[at + 3] = *class;
        }
        (entries, multiplier, shift)
    }
}

impl<'m> MacRows<'m> {
    /// No rows yet.
    pub(super) fn new(macs: &'m Macs) -> Self {
        Self {
            macs,
            rows: Interner::default(),
            aliases: Aliases::new(),
        }
    }

    /// The number of the row, from 1 on, that each class of hardware addresses
    /// has on links of a kind; 0 where such an address means nothing.
    ///
    /// `base` has the source zone of each address class whatever the hardware
    /// address, `chains` the claims on each class that decide over it, weakest
    /// first.
    pub(super) fn of_link(
        &mut self,
        kind: &[usize],
        base: &[u16],
        chains: &[Vec<Claim>],
    ) -> Vec<u16> {
        let on_link = |claim: &&Claim| kind.binary_search(&claim.keys).is_ok();
        let here: Vec<Vec<&Claim>> = chains
            .iter()
            .map(|chain| chain.iter().filter(on_link).collect())
            .collect();
        let wanted: BTreeSet<usize> = here.iter().flatten().map(|claim| claim.macs).collect();
        let of_class = |sets: &Vec<usize>| {
            if !sets.iter().any(|set| wanted.contains(set)) {
                return 0;
            }
            let cell = |(claims, base): (&Vec<&Claim>, &u16)| {
                let base = SourceCell(*base);
                let mut strongest = claims.iter().rev();
                let holds = |claim: &&&Claim| claim.is_of_any_mac() || sets.contains(&claim.macs);
                let Some(claim) = strongest.find(holds) else {
                    return 0;
                };
                // Who lies about his address is told by the address.
                if claim.is_of_any_mac() || base.is_spoofed() {
                    return 0;
                }
                let cell = SourceCell::new(claim.zone, false);
                match claim.by {
                    By::Bound => cell.0,
                    By::Station(_) => cell.violating().0,
                    _ if base.is_refused() => cell.violating().0,
                    _ => cell.0,
                }
            };
            let row: Vec<u16> = here.iter().zip(base).map(cell).collect();
            for (own, base) in row.iter().zip(base) {
                let (own, base) = (SourceCell(*own), SourceCell(*base));
                if own.0 != 0 && !own.is_refused() {
                    self.aliases
                        .entry(own.zone())
                        .or_default()
                        .insert(base.zone());
                }
            }
            self.rows.intern(row) as u16 + 1
        };
        self.macs.sets.iter().map(of_class).collect()
    }

    /// The rows, and the zones that stations in them have as destinations.
    pub(super) fn finish(self) -> (Vec<Vec<u16>>, Aliases) {
        (self.rows.into_values(), self.aliases)
    }
}

fn words(mac: Mac) -> question::Mac {
    question::Mac::of(mac.bytes())
}
