//! Source zones by link and address, and classes of both: links and addresses
//! that no look-up tells apart share one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use enforcer_common::cell::{AddressClass, SourceCell};
use enforcer_common::layout::{HALF_WORDS, LinkEntry};
use enforcer_common::zone::ZoneId;

use super::addresses::{Addresses, Signature};
use super::claims::{Claim, Claims};
use super::interner::Interner;
use super::links::Links;
use super::size::{MAX_BLOCKS, room_for};
use super::trie::MAX_TRIE;
use crate::policy::Findings;

/// The tables of source zones.
pub(super) struct Sources {
    /// The class of each signature of [`Addresses`].
    pub(super) address_classes: Vec<u16>,
    /// What is known of each address class.
    pub(super) known: Vec<AddressClass>,
    /// The class of each kind of [`Links`].
    pub(super) link_classes: Vec<u16>,
    /// Failsafe entries of each link class.
    pub(super) failsafes: Vec<u16>,
    /// Cells by link class, then address class.
    pub(super) cells: Vec<u16>,
}

impl Sources {
    /// Finds the source zone of every address on every link.
    pub(super) fn new(
        claims: &Claims,
        addresses: &Addresses,
        links: &Links,
    ) -> Result<Self, Findings> {
        let columns = Columns {
            claims,
            addresses,
            places: places(claims, links),
            by_link: by_link(claims, links),
        };
        let limit = MAX_BLOCKS * HALF_WORDS as usize;
        let mut seen = HashMap::new();
        let mut known: Vec<AddressClass> = Vec::new();
        let mut by_class: Vec<Vec<u16>> = Vec::new();
        let mut address_classes = Vec::with_capacity(addresses.signatures.len());
        for signature in &addresses.signatures {
            let class = columns.known(signature);
            let column = columns.column(signature);
            let key = (class.destination, class.flags, class.failsafes, column);
            let number = *seen.entry(key).or_insert_with_key(|(_, _, _, column)| {
                known.push(class);
                by_class.push(column.clone());
                by_class.len() - 1
            });
            room_for(by_class.len(), "classes of addresses", MAX_TRIE)?;
            let cells = by_class.len() * links.kinds.len();
            room_for(cells, "source zones by link and address", limit)?;
            address_classes.push(number as u16);
        }

        let mut rows = Interner::default();
        let classes = links.kinds.iter().enumerate().map(|(link, kind)| {
            let row: Vec<u16> = by_class.iter().map(|column| column[link]).collect();
            rows.intern((failsafes(claims, kind), row)) as u16
        });
        let link_classes = classes.collect();
        room_for(
            rows.len(),
            "classes of links",
            usize::from(LinkEntry::BY_VLAN),
        )?;
        let (failsafes, rows): (Vec<u16>, Vec<Vec<u16>>) = rows.into_values().into_iter().unzip();
        Ok(Self {
            address_classes,
            known,
            link_classes,
            failsafes,
            cells: rows.concat(),
        })
    }
}

impl Sources {
    /// For each zone that an address has as a destination, the other zones that
    /// it can have as a source: where it is seen on a link that the entry with
    /// its longest prefix does not take in.
    pub(super) fn seen_elsewhere(&self) -> BTreeMap<ZoneId, BTreeSet<ZoneId>> {
        let mut elsewhere: BTreeMap<ZoneId, BTreeSet<ZoneId>> = BTreeMap::new();
        for row in self.cells.chunks(self.known.len().max(1)) {
            for (class, cell) in self.known.iter().zip(row) {
                let (home, cell) = (ZoneId(class.destination), SourceCell(*cell));
                if cell.zone() != home && !cell.is_spoofed() {
                    elsewhere.entry(home).or_default().insert(cell.zone());
                }
            }
        }
        elsewhere
    }
}

/// Source zones by address: one column for each, with a cell for each link.
struct Columns<'a> {
    claims: &'a Claims,
    addresses: &'a Addresses,
    /// The links where each combination of keys holds.
    places: Vec<Vec<usize>>,
    /// The zone that each link has without regard to the address.
    by_link: Vec<ZoneId>,
}

impl Columns<'_> {
    /// What is known of an address without regard to the link.
    fn known(&self, signature: &Signature) -> AddressClass {
        let meaning = signature.meaning;
        let destination = if meaning.is_nowhere() {
            ZoneId::UNKNOWN.0
        } else if meaning.is_router() {
            ZoneId::SELF.0
        } else {
            match self.destination(signature) {
                // No route tells which of several zones a group is in.
                AddressClass::BY_ROUTE if meaning.is_group() => ZoneId::SELF.0,
                zone => zone,
            }
        };
        AddressClass {
            destination,
            flags: if meaning.is_group() {
                AddressClass::GROUP
            } else {
                0
            },
            failsafes: signature.failsafes,
        }
    }

    /// The zone that claims the longest prefix, if it is only one.
    fn destination(&self, signature: &Signature) -> u16 {
        match self.addresses.claims(signature).next() {
            Some(group) if group.iter().all(|claim| claim.zone == group[0].zone) => group[0].zone.0,
            None if self.claims.anywhere.is_empty() => ZoneId::UNKNOWN.0,
            _ => AddressClass::BY_ROUTE,
        }
    }

    /// The source zone on every link.
    fn column(&self, signature: &Signature) -> Vec<u16> {
        let is_never_source = signature.meaning.is_never_source();
        let mut groups: Vec<_> = self.addresses.claims(signature).collect();
        let is_bound = |group: &&Vec<Claim>| self.claims.is_bound(group);
        let is_bound = groups.first().is_some_and(is_bound);
        if is_bound {
            // Elsewhere the address is forged, whoever claims what is around it.
            groups.truncate(1);
        }
        let cell = |zone: &ZoneId| SourceCell::new(*zone, is_bound || is_never_source).0;
        let mut column: Vec<u16> = self.by_link.iter().map(cell).collect();
        for claim in groups.into_iter().rev().flatten() {
            for link in &self.places[claim.keys] {
                column[*link] = SourceCell::new(claim.zone, is_never_source).0;
            }
        }
        column
    }
}

fn places(claims: &Claims, links: &Links) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); claims.keys.len()];
    for (link, kind) in links.kinds.iter().enumerate() {
        for keys in kind {
            places[*keys].push(link);
        }
    }
    places
}

fn by_link(claims: &Claims, links: &Links) -> Vec<ZoneId> {
    let zone = |kind: &Vec<usize>| {
        let mut claims = claims.anywhere.iter().rev();
        let best = claims.find(|claim| kind.binary_search(&claim.keys).is_ok());
        best.map_or(ZoneId::UNKNOWN, |claim| claim.zone)
    };
    links.kinds.iter().map(zone).collect()
}

/// One bit for each failsafe entry that admits traffic from a link.
fn failsafes(claims: &Claims, kind: &[usize]) -> u16 {
    let admits = |keys: &usize| kind.binary_search(keys).is_ok();
    let entries = claims.failsafes.iter().enumerate();
    entries
        .filter(|(_, (_, keys))| admits(keys))
        .fold(0, |bits, (index, _)| bits | 1 << index)
}
